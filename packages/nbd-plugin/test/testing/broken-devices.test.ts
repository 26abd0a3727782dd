import { NbdError } from '@nbd/protocol';
import type { BlockDevice, DeviceInfo, ExtentSink } from '@nbd/protocol';
import { expect, test, vi } from 'vitest';
import { checkDevice } from '../../src/testing/index.js';
import type { Blocks } from './sparse-disk.js';
import { SparseDisk } from './sparse-disk.js';

// Every check is thousands of calls: on a busy machine that takes a while.
vi.setConfig({ testTimeout: 30_000 });

type Broken = (disk: SparseDisk) => Partial<BlockDevice>;

const SIZE = 300_000n;
const INFO: DeviceInfo = { fua: true, fastZero: true };

/** A sparse disk with some data, with these methods in place of its own. */
function breaking(broken: Broken, info: DeviceInfo = INFO, size = SIZE): BlockDevice {
  const disk = new SparseDisk(size, info);
  for (const block of [0n, 1n, 5n, 6n, 20n]) {
    disk.blocks.set(
      block,
      Uint8Array.from({ length: 4096 }, (_, i) => 1 + ((Number(block) * 31 + i * 7) % 251)),
    );
  }
  const methods = ['read', 'write', 'zero', 'trim', 'cache', 'flush', 'extents', 'close'] as const;
  const own = Object.fromEntries(methods.map((method) => [method, disk[method].bind(disk)]));
  // Descriptors, so that what is a getter stays one.
  return Object.defineProperties(
    { size, info, ...own },
    Object.getOwnPropertyDescriptors(broken(disk)),
  ) as BlockDevice;
}

const laterTurn = (action: () => void) => void setTimeout(action, 0);

const reads: Record<string, [Broken, RegExp]> = {
  'leaves out the last byte': [
    (disk) => ({
      read: (offset, into) => {
        disk.read(offset, into.subarray(0, -1));
      },
    }),
    /leaves byte \d+ of its buffer as it was/,
  ],
  'leaves the buffer alone where there is a hole': [
    (disk) => ({
      read: (offset, into) => {
        for (let i = 0; i < into.length; i++) {
          const block = disk.blocks.get((offset + BigInt(i)) / 4096n);
          if (block) into[i] = block[Number((offset + BigInt(i)) % 4096n)]!;
        }
      },
    }),
    /leaves byte \d+ of its buffer as it was/,
  ],
  'is one byte off after the first block of a read': [
    (disk) => ({
      read(offset, into) {
        disk.read(offset, into);
        if (into.length > 4096) disk.read(offset + 4095n, into.subarray(4096));
      },
    }),
    /differs when it is|instead of/,
  ],
  'starts at the block and not at the offset': [
    (disk) => ({
      read: (offset, into) => {
        disk.read(offset - (offset % 512n), into);
      },
    }),
    /differs when it is|instead of/,
  ],
  'ignores that the buffer starts within an ArrayBuffer': [
    (disk) => ({
      read: (offset, into) => {
        disk.read(offset, new Uint8Array(into.buffer as ArrayBuffer, 0, into.length));
      },
    }),
    /bytes before the buffer|leaves byte/,
  ],
  'fills one byte more than the buffer has': [
    (disk) => ({
      read(offset, into) {
        disk.read(offset, into);
        new Uint8Array(into.buffer)[into.byteOffset + into.length] = 0;
      },
    }),
    /wrote 1 bytes after the buffer/,
  ],
  'fills the buffer after it has settled': [
    (disk) => ({
      read(offset, into) {
        disk.read(offset, into);
        laterTurn(() => {
          disk.read(offset, into);
        });
      },
    }),
    /touched the buffer after it had settled|leaves byte|differs/,
  ],
  'keeps the buffer as its cache': [
    (disk) => {
      let cached: { offset: bigint; bytes: Uint8Array } | undefined;
      return {
        read(offset, into) {
          if (cached?.offset === offset && cached.bytes.length >= into.length) {
            into.set(cached.bytes.subarray(0, into.length));
            return;
          }
          disk.read(offset, into);
          cached = { offset, bytes: into };
        },
        write(offset, from) {
          cached = undefined;
          disk.write(offset, from);
        },
      };
    },
    /differs/,
  ],
  'mixes up reads that are under way at once': [
    (disk) => {
      let current = 0n;
      return {
        async read(offset, into) {
          current = offset;
          await Promise.resolve();
          disk.read(current + BigInt(into.length) > SIZE ? offset : current, into);
        },
      };
    },
    /under way/,
  ],
  'changes from one read to the next': [
    () => {
      let count = 0;
      return { read: (_offset, into) => void into.fill(count++ >> 4) };
    },
    /differs/,
  ],
  'fails at the end of the disk': [
    (disk) => ({
      read(offset, into) {
        if (offset + BigInt(into.length) === SIZE) throw new NbdError('EINVAL', 'past the end');
        disk.read(offset, into);
      },
    }),
    /read of \d+ bytes at \d+ failed: past the end/,
  ],
  'never settles': [
    () => ({ read: () => new Promise<void>(() => undefined) }),
    /failed: it has not settled after 50 ms/,
  ],
  'stops for good when one read is aborted': [
    (disk) => {
      let stopped = false;
      return {
        async read(offset, into, options) {
          options?.signal?.addEventListener('abort', () => (stopped = true));
          await Promise.resolve();
          if (stopped) throw new NbdError('ECANCELED', 'aborted');
          disk.read(offset, into);
        },
      };
    },
    /failed: aborted/,
  ],
  'tells of holes from the start of the buffer': [
    (disk) => ({
      read(offset, into, options) {
        disk.read(offset, into, {
          holes: { add: (at, length) => options?.holes?.add(at - offset, length) },
        });
      },
    }),
    /told of a hole of \d+ bytes at \d+, which is not in it|told of a hole .* is not zero/,
  ],
  'tells of holes that are a byte too long': [
    (disk) => ({
      read(offset, into, options) {
        disk.read(offset, into, { holes: { add: (at, length) => options?.holes?.add(at, length + 1n) } });
      },
    }),
    /told of a hole/,
  ],
  'tells of holes later': [
    (disk) => ({
      read(offset, into, options) {
        disk.read(offset, into);
        laterTurn(() => options?.holes?.add(offset, 1n));
      },
    }),
    /told of a hole after it had settled/,
  ],
};

const wholeExtents = (
  disk: SparseDisk,
  change: (length: bigint, flags: number, index: number) => [bigint, number][],
): Partial<BlockDevice> => ({
  extents(offset, length, sink) {
    let index = 0;
    disk.extents(offset, length, {
      add: (extent, flags) =>
        change(extent, flags, index++).every(([own, ownFlags]) => sink.add(own, ownFlags)),
    });
  },
});

const extents: Record<string, [Broken, RegExp]> = {
  'say that all is zeroes': [
    (disk) => wholeExtents(disk, (length) => [[length, 3]]),
    /are zeroes, but byte \d+ is not/,
  ],
  'say holes for data and data for holes': [
    (disk) => wholeExtents(disk, (length, flags) => [[length, flags ^ 3]]),
    /are zeroes, but/,
  ],
  'start at a block and not at the offset': [
    (disk) => ({
      extents: (offset, length, sink) => {
        disk.extents(offset - (offset % 4096n), length + (offset % 4096n), sink);
      },
    }),
    /are zeroes, but|beyond the end|after the end of the range/,
  ],
  'have holes that are a byte too long': [
    (disk) =>
      wholeExtents(disk, (length, flags) => [
        [flags === 3 && length % 4096n === 0n ? length + 1n : length, flags],
      ]),
    /are zeroes, but|beyond the end|after the end/,
  ],
  'leave out a hole': [
    (disk) => wholeExtents(disk, (length, flags) => (flags === 3 ? [] : [[length, flags]])),
    /has no extent|are zeroes, but/,
  ],
  'have an extent of no length': [
    (disk) =>
      wholeExtents(disk, (length, flags) => [
        [0n, 0],
        [length, flags],
      ]),
    /has an extent of 0 bytes/,
  ],
  'have a length that is a number': [
    (disk) => wholeExtents(disk, (length, flags) => [[Number(length) as unknown as bigint, flags]]),
    /has an extent of \d+ bytes/,
  ],
  'have no flags': [
    (disk) => wholeExtents(disk, (length) => [[length, undefined as unknown as number]]),
    /has the flags undefined/,
  ],
  'are none': [() => ({ extents: () => undefined }), /has no extent/],
  'are only those that start within the first half': [
    (disk) => ({
      extents(offset, length, sink) {
        if (offset < SIZE / 2n) disk.extents(offset, length, sink);
      },
    }),
    /has no extent/,
  ],
  'reach beyond the end of the disk': [
    (disk) => wholeExtents(disk, (length, flags) => [[(length + 4095n) & ~4095n, flags]]),
    /beyond the end of the device/,
  ],
  'go on after the end of the range': [
    (disk) => ({
      extents: (offset, _length, sink) => {
        const unconcerned: ExtentSink = { add: (extent, flags) => (sink.add(extent, flags), true) };
        disk.extents(offset, SIZE - offset, unconcerned);
      },
    }),
    /after the end of the range|went on/,
  ],
  'go on when the sink has seen enough': [
    (disk) => ({
      extents: (offset, length, sink) => {
        disk.extents(offset, length, { add: (extent, flags) => (sink.add(extent, flags), true) });
      },
    }),
    /went on after the sink had returned false/,
  ],
  'come later': [
    (disk) => ({
      extents(offset, length, sink) {
        disk.extents(offset, length, sink);
        laterTurn(() => sink.add(1n, 0));
      },
    }),
    /called the sink after it had settled/,
  ],
  'stay as they were when something is written': [
    (disk) => {
      const before = new SparseDisk(disk.size, disk.info, new Map(disk.blocks));
      return {
        extents: (offset, length, sink) => {
          before.extents(offset, length, sink);
        },
      };
    },
    /are zeroes, but/,
  ],
};

const writes: Record<string, [Broken, RegExp]> = {
  'bleeds a byte after its end': [
    (disk) => ({
      write(offset, from) {
        disk.write(offset, from);
        if (offset + BigInt(from.length) < SIZE)
          disk.write(offset + BigInt(from.length), Uint8Array.of(0xee));
      },
    }),
    /is \d+ instead of \d+ after write/,
  ],
  'bleeds a byte before its start': [
    (disk) => ({
      write(offset, from) {
        disk.write(offset, from);
        if (offset > 0n) disk.write(offset - 1n, Uint8Array.of(0xee));
      },
    }),
    /is \d+ instead of \d+ after write/,
  ],
  'replaces whole sectors': [
    (disk) => ({
      write(offset, from) {
        const start = offset - (offset % 512n);
        const padded = new Uint8Array(Math.ceil((from.length + Number(offset - start)) / 512) * 512);
        padded.set(from, Number(offset - start));
        disk.write(start, padded.subarray(0, Number(SIZE - start)));
      },
    }),
    /is \d+ instead of \d+ after write/,
  ],
  'drops the last byte': [
    (disk) => ({
      write: (offset, from) => {
        disk.write(offset, from.subarray(0, -1));
      },
    }),
    /is \d+ instead of \d+ after write/,
  ],
  'takes zeroes for nothing to write': [
    (disk) => ({
      write(offset, from) {
        if (from.some((byte) => byte !== 0)) disk.write(offset, from);
      },
    }),
    /is \d+ instead of \d+ after write/,
  ],
  'keeps the buffer': [
    (disk) => ({
      write(offset, from) {
        if (offset % 4096n === 0n && from.length >= 4096)
          disk.blocks.set(offset / 4096n, from.subarray(0, 4096));
        disk.write(offset, from);
      },
    }),
    /is 92 instead of \d+ after/,
  ],
  'writes once it has settled': [
    (disk) => ({
      write(offset, from) {
        laterTurn(() => {
          disk.write(offset, from);
        });
      },
    }),
    /is \d+ instead of \d+ after write/,
  ],
  'encrypts in place': [
    (disk) => ({
      write(offset, from) {
        disk.write(offset, from);
        for (let i = 0; i < from.length; i++) from[i]! ^= 0xff;
      },
    }),
    /changed byte 0 of the caller's buffer/,
  ],
  'loses one of two writes to a block at once': [
    (disk) => ({
      async write(offset, from) {
        const start = offset - (offset % 4096n);
        const end = offset + BigInt(from.length);
        const length = Number((end + 4095n) / 4096n) * 4096 - Number(start);
        const whole = new Uint8Array(Math.min(length, Number(SIZE - start)));
        disk.read(start, whole);
        await Promise.resolve();
        whole.set(from, Number(offset - start));
        disk.write(start, whole);
      },
    }),
    /under way at once|under way/,
  ],
  'fails with force unit access': [
    (disk) => ({
      write(offset, from, options) {
        if (options?.fua) throw new NbdError('ENOTSUP', 'no such flag');
        disk.write(offset, from);
      },
    }),
    /write of \d+ bytes at \d+ failed: no such flag/,
  ],
  'fails in the last sector': [
    (disk) => ({
      write(offset, from) {
        if (offset + BigInt(from.length) > SIZE - 100n) throw new NbdError('ENOSPC', 'full');
        disk.write(offset, from);
      },
    }),
    /failed: full/,
  ],
};

const zeroes: Record<string, [Broken, RegExp]> = {
  'does nothing': [() => ({ zero: () => undefined }), /is \d+ instead of \d+ after zero/],
  'zeroes whole blocks only': [
    (disk) => ({
      zero(offset, length) {
        for (let block = (offset + 4095n) / 4096n; (block + 1n) * 4096n <= offset + length; block++)
          disk.blocks.delete(block);
      },
    }),
    /is \d+ instead of \d+ after zero/,
  ],
  'zeroes the whole of the blocks that it touches': [
    (disk) => ({
      zero(offset, length) {
        for (let block = offset / 4096n; block * 4096n < offset + length; block++) disk.blocks.delete(block);
      },
    }),
    /is \d+ instead of \d+ after zero/,
  ],
  'zeroes a byte too many': [
    (disk) => ({
      zero(offset, length) {
        disk.zero(offset, offset + length < SIZE ? length + 1n : length);
      },
    }),
    /is \d+ instead of \d+ after zero/,
  ],
  'zeroes a byte too few': [
    (disk) => ({
      zero: (offset, length) => {
        disk.zero(offset, length - 1n);
      },
    }),
    /is \d+ instead of \d+ after zero/,
  ],
  'zeroes half, then says that it can not be fast': [
    (disk) => ({
      zero(offset, length, options) {
        if (!options?.fastZero) {
          disk.zero(offset, length);
          return;
        }
        disk.zero(offset, (length + 1n) / 2n);
        throw new NbdError('ENOTSUP', 'slow');
      },
    }),
    /is \d+ instead of \d+ after zero with fastZero/,
  ],
  'fails otherwise when it can not be fast': [
    (disk) => ({
      zero(offset, length, options) {
        if (options?.fastZero) throw new NbdError('EINVAL', 'not fast');
        disk.zero(offset, length);
      },
    }),
    /zero of \d+ bytes at \d+ failed: not fast/,
  ],
  'ignores an allocated block': [
    (disk) => ({
      zero(offset, length, options) {
        if (!options?.noHole) disk.zero(offset, length);
      },
    }),
    /is \d+ instead of \d+ after zero/,
  ],
  'is forgotten at the next flush': [
    (disk) => {
      let undo: (() => void) | undefined;
      return {
        zero(offset, length) {
          const before = new Uint8Array(Number(length));
          disk.read(offset, before);
          undo = () => {
            disk.write(offset, before);
          };
          disk.zero(offset, length);
        },
        write(offset, from) {
          undo = undefined;
          disk.write(offset, from);
        },
        trim: () => undefined,
        flush() {
          undo?.();
        },
      };
    },
    /instead of/,
  ],
};

const trims: Record<string, [Broken, RegExp]> = {
  'loses the whole of the blocks that it touches': [
    (disk) => ({
      trim(offset, length) {
        for (let block = offset / 4096n; block * 4096n < offset + length; block++) disk.blocks.delete(block);
      },
    }),
    /is \d+ instead of \d+ after trim/,
  ],
  fails: [
    () => ({
      trim: () => Promise.reject(new NbdError('EIO', 'no trim today')),
    }),
    /trim of \d+ bytes at \d+ failed: no trim today/,
  ],
};

const others: Record<string, [Broken, RegExp]> = {
  'a cache that empties the block': [
    (disk) => ({ cache: (offset) => void disk.blocks.delete(offset / 4096n) }),
    /is \d+ instead of \d+ after cache/,
  ],
  'a cache that fails': [
    () => ({
      cache() {
        throw new Error('no cache');
      },
    }),
    /cache of \d+ bytes at \d+ failed: no cache/,
  ],
  'a flush that fails': [
    () => ({ flush: () => Promise.reject(new Error('no flush')) }),
    /flush failed: no flush/,
  ],
  'a flush that never settles': [
    () => ({ flush: () => new Promise<void>(() => undefined) }),
    /flush failed: it has not settled after 50 ms/,
  ],
  'a close that fails': [
    () => ({ close: () => Promise.reject(new Error('no close')) }),
    /close failed: no close/,
  ],
  'a close that can not be called again': [
    () => {
      let closed = false;
      return {
        close() {
          if (closed) throw new Error('closed already');
          closed = true;
        },
      };
    },
    /close, called again, failed: closed already/,
  ],
  'a size that grows': [
    (disk) => {
      let size = SIZE;
      return {
        get size() {
          return size;
        },
        write(offset: bigint, from: Uint8Array) {
          size += 1n;
          disk.write(offset, from);
        },
      };
    },
    /became \{"size":"\d+".* while the device was open/,
  ],
};

const located: Record<string, [Broken, RegExp]> = {
  'gives other bytes': [
    () => ({ locate: (_offset, length, sink) => sink.addBytes(new Uint8Array(length).fill(0xf0)) }),
    /locate of \d+ bytes at \d+ differs from read: byte \d+ is 240/,
  ],
  'gives too few': [
    (disk) => ({
      locate(offset, length, sink) {
        const bytes = new Uint8Array(length);
        disk.read(offset, bytes);
        return sink.addBytes(bytes.subarray(1));
      },
    }),
    /locate of \d+ bytes at \d+ gives \d+ bytes/,
  ],
  'returns a promise': [
    () => ({ locate: () => Promise.resolve(true) as unknown as boolean }),
    /locate of \d+ bytes at \d+ returns \[object Promise\], not a boolean/,
  ],
};

const groups: [string, Record<string, [Broken, RegExp]>][] = [
  ['a read that', reads],
  ['a locate that', located],
  ['extents that', extents],
  ['a write that', writes],
  ['a zero that', zeroes],
  ['a trim that', trims],
  ['', others],
];

for (const [group, devices] of groups) {
  test.each(Object.entries(devices))(`caught: ${group} %s`, async (_what, [broken, message]) => {
    for (let seed = 0; seed < 5; seed++) {
      const checking = checkDevice(breaking(broken), { seed, timeout: 50 });
      await expect(checking).rejects.toThrow(message);
      await expect(checking).rejects.toThrow(
        new RegExp(`^checkDevice: .* \\(repeat with seed: ${seed}\\)$`, 's'),
      );
    }
  });
}

test.each<[string, unknown, bigint, RegExp]>([
  ['a negative size', {}, -1n, /size is -1, not between 0 and 2\^63 - 1/],
  ['a size of 2^63 bytes', {}, 1n << 63n, /size is 9223372036854775808, not between/],
  ['a size that is a number', {}, 512 as unknown as bigint, /size is 512, not a bigint/],
  [
    'a minimum block of 3',
    { blockSize: { minimum: 3, preferred: 512, maximum: 512 } },
    SIZE,
    /minimum is 3, not a power/,
  ],
  [
    'a minimum block of 128K',
    { blockSize: { minimum: 131072, preferred: 131072, maximum: 131072 } },
    SIZE,
    /minimum is 131072/,
  ],
  [
    'a preferred block of 256',
    { blockSize: { minimum: 1, preferred: 256, maximum: 512 } },
    SIZE,
    /preferred is 256, not/,
  ],
  [
    'a maximum below the preferred block',
    { blockSize: { minimum: 1, preferred: 4096, maximum: 512 } },
    SIZE,
    /maximum is 512, not/,
  ],
  [
    'a maximum of 2^32',
    { blockSize: { minimum: 1, preferred: 4096, maximum: 2 ** 32 } },
    SIZE,
    /maximum is 4294967296, not/,
  ],
  ['base:allocation among its contexts', { contexts: ['base:allocation'] }, SIZE, /which all extents answer/],
  [
    'a context without a namespace',
    { contexts: ['dirty'] },
    SIZE,
    /'dirty', which is not like x-namespace:name/,
  ],
])('caught: a device with %s', async (_what, info, size, message) => {
  await expect(checkDevice(breaking(() => ({}), info as DeviceInfo, size))).rejects.toThrow(message);
});

test('caught: abilities that need a method that is not there', async () => {
  const read = () => undefined;
  await expect(checkDevice({ size: 1n, read, info: { fastZero: true } })).rejects.toThrow('there is no zero');
  await expect(checkDevice({ size: 1n, read, info: { contexts: ['x:y'] } })).rejects.toThrow(
    'there is no extents',
  );
});

test('caught: extents that are no multiples of the minimum block size', async () => {
  const blockSize = { minimum: 512, preferred: 4096, maximum: 65536 };
  const broken: Broken = (disk) =>
    wholeExtents(disk, (length, flags) => [
      [1n, flags],
      [length - 1n, flags],
    ]);
  await expect(checkDevice(breaking(broken, { blockSize }))).rejects.toThrow(
    'not a multiple of the minimum block size',
  );
});

test('caught: extents of another context that fail', async () => {
  const broken: Broken = (disk) => ({
    extents(offset, length, sink, options) {
      if (options?.context === 'x-a:dirty') throw new NbdError('EINVAL', 'no such context');
      disk.extents(offset, length, sink);
    },
  });
  const checking = checkDevice(breaking(broken, { contexts: ['x-a:clean', 'x-a:dirty'] }));
  await expect(checking).rejects.toThrow(/extents of x-a:dirty for \d+ bytes at \d+ failed: no such context/);
});

test.each([
  ['offsets to 32 bits', (1n << 40n) + 1n, (offset: bigint) => offset & 0xffff_ffffn],
  ['offsets to doubles', (1n << 63n) - 1n, (offset: bigint) => BigInt(Number(offset)) % ((1n << 63n) - 1n)],
])('caught: a disk that cuts %s', async (_what, size, cut) => {
  for (let seed = 0; seed < 5; seed++) {
    const broken: Broken = (disk) => ({
      read(offset, into) {
        for (let i = 0; i < into.length; i += 512)
          disk.read(cut(offset + BigInt(i)), into.subarray(i, i + 512));
      },
      write(offset, from) {
        for (let i = 0; i < from.length; i += 512)
          disk.write(cut(offset + BigInt(i)), from.subarray(i, i + 512));
      },
    });
    await expect(checkDevice(breaking(broken, {}, size), { seed })).rejects.toThrow(
      /is \d+ instead of \d+|differs|are zeroes, but/,
    );
  }
});

/** Opens sparse disks with `multiConn`, changed by `broken`, which knows how many were opened before. */
function opening(
  broken: (disk: SparseDisk, count: number, blocks: Blocks) => Partial<BlockDevice>,
): () => BlockDevice {
  const blocks: Blocks = new Map([[0n, new Uint8Array(4096).fill(9)]]);
  let count = 0;
  return () =>
    breaking(
      (disk) => {
        for (const [block, bytes] of blocks) disk.blocks.set(block, bytes);
        const shared = new SparseDisk(SIZE, { multiConn: true }, blocks);
        const methods = ['read', 'write', 'zero', 'trim', 'extents'] as const;
        return {
          ...Object.fromEntries(methods.map((method) => [method, shared[method].bind(shared)])),
          ...broken(shared, count++, blocks),
        };
      },
      { multiConn: true },
    );
}

test.each<[string, () => BlockDevice, RegExp]>([
  [
    'another content on each connection',
    opening(
      (_disk, count) =>
        ({
          read: (_offset: bigint, into: Uint8Array) => void into.fill(count),
          extents: undefined,
          write: undefined,
        }) as unknown as BlockDevice,
    ),
    /is \d+ instead of \d+/,
  ],
  [
    'another size on each connection',
    opening((_disk, count) => ({ size: SIZE + BigInt(count) })),
    /opened a second time/,
  ],
  [
    'a content that is gone when one of them is closed',
    opening((_disk, _count, blocks) => ({
      close: () => {
        blocks.clear();
      },
    })),
    /after another that was open was closed/,
  ],
  [
    'reads that fail when one of them is closed',
    (() => {
      let closed = false;
      return opening((disk) => ({
        read(offset, into) {
          if (closed) throw new NbdError('EIO', 'the file is closed');
          disk.read(offset, into);
        },
        close: () => void (closed = true),
      }));
    })(),
    /failed: the file is closed/,
  ],
  [
    'writes that others see only after a flush of their own',
    opening((disk) => {
      const pending: [bigint, Uint8Array][] = [];
      const write = (offset: bigint, from: Uint8Array) => void pending.push([offset, from.slice()]);
      const flush = () => {
        for (const [offset, bytes] of pending.splice(0)) disk.write(offset, bytes);
      };
      const read = (offset: bigint, into: Uint8Array) => {
        disk.read(offset, into);
        for (const [at, bytes] of pending) {
          for (let i = 0; i < bytes.length; i++) {
            const index = Number(at - offset) + i;
            if (index >= 0 && index < into.length) into[index] = bytes[i]!;
          }
        }
      };
      return {
        read,
        write,
        flush,
        zero: undefined,
        trim: undefined,
        extents: undefined,
      } as unknown as BlockDevice;
    }),
    /instead of \d+ after operations that were under way at once|while operations elsewhere are under way/,
  ],
  [
    'no second life',
    (() => {
      let opened = 0;
      return () => {
        if (opened++ > 0) throw new NbdError('EBUSY', 'still open');
        return breaking(() => ({}));
      };
    })(),
    /still open/,
  ],
])('caught: a plugin with %s', async (_what, open, message) => {
  await expect(checkDevice(open)).rejects.toThrow(message);
});

test('a device that fails the check is closed, also if it does not even describe itself well', async () => {
  let closed = 0;
  const close = () => {
    closed++;
  };
  await expect(
    checkDevice(breaking(() => ({ flush: () => Promise.reject(new Error('no')), close }))),
  ).rejects.toThrow();
  await expect(checkDevice(breaking(() => ({ close }), {}, -1n))).rejects.toThrow();
  expect(closed).toBe(2);
});

test.each<[string, () => Promise<BlockDevice>, RegExp]>([
  [
    'fails',
    () => Promise.reject(new NbdError('ENOENT', 'no such disk')),
    /checkDevice: open failed: no such disk/,
  ],
  ['never settles', () => new Promise(() => undefined), /open failed: it has not settled after 50 ms/],
])('caught: an open that %s', async (_what, open, message) => {
  await expect(checkDevice(open, { timeout: 50 })).rejects.toThrow(message);
});

test("a failure carries the device's own error as its cause", async () => {
  const own = new NbdError('EIO', 'medium error');
  const broken: Broken = () => ({
    read() {
      throw own;
    },
  });
  await expect(checkDevice(breaking(broken))).rejects.toMatchObject({ cause: own });
});

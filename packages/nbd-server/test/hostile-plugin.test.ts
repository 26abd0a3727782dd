import {
  Command,
  CommandFlag,
  decodeBlockStatusHeader,
  decodeErrorChunk,
  decodeExtent,
  encodeInfoRequest,
  encodeOption,
  ErrorValue,
  NbdError,
  Option,
  OptionReply,
  ReplyType,
  type BlockDevice,
  type ExtentSink,
} from '@nbd/protocol';
import type { Plugin } from '@nbd/plugin';
import { describe, expect, test } from 'vitest';
import type { RawClient } from './raw/raw-client.js';
import { memoryDisk, serveRaw, turns } from './raw/serve-raw.js';
import { serveOnSocket } from './raw/serve-socket.js';

type Method = 'read' | 'write' | 'zero' | 'trim' | 'cache' | 'flush' | 'extents';

const REQUESTS: Readonly<Record<Method, { command: number; length?: bigint; payload?: Uint8Array }>> = {
  read: { command: Command.READ, length: 512n },
  write: { command: Command.WRITE, length: 2n, payload: Uint8Array.of(1, 2) },
  zero: { command: Command.WRITE_ZEROES, length: 512n },
  trim: { command: Command.TRIM, length: 512n },
  cache: { command: Command.CACHE, length: 512n },
  flush: { command: Command.FLUSH },
  extents: { command: Command.BLOCK_STATUS, length: 512n },
};

const METHODS = Object.keys(REQUESTS) as Method[];

/** A device of which one method is `method`. */
function withMethod(name: Method, method: () => unknown): BlockDevice {
  const extents = (_offset: bigint, length: bigint, sink: ExtentSink) => void sink.add(length, 0);
  return { ...memoryDisk(4096), extents, [name]: method };
}

const SETTINGS = { structured: true, contexts: ['base:allocation'] };

/** What a client is told when the device's method goes wrong. */
async function failureOf(client: RawClient, name: Method) {
  client.request({ ...REQUESTS[name], cookie: 5n });
  const { type, cookie, payload } = await client.chunk();
  expect([ReplyType.ERROR, ReplyType.ERROR_OFFSET]).toContain(type);
  expect(cookie).toBe(5n);
  return decodeErrorChunk(payload);
}

/** The connection is as good as new: a read is answered. */
async function expectService(client: RawClient): Promise<void> {
  client.request({ command: Command.READ, cookie: 6n, length: 512n });
  expect(await client.chunk()).toMatchObject({ type: ReplyType.OFFSET_DATA, cookie: 6n });
}

describe('a device', () => {
  const faults: [string, () => unknown][] = [
    [
      'throws',
      () => {
        throw new Error('gone wrong');
      },
    ],
    ['rejects', () => Promise.reject(new Error('gone wrong'))],
    [
      'rejects later',
      async () => {
        await turns(2);
        throw new Error('gone wrong');
      },
    ],
  ];
  test.each(METHODS.flatMap((name) => faults.map(([what, method]) => [name, what, method] as const)))(
    'whose %s %s: EIO, one line in the log, and the connection goes on',
    async (name, _what, method) => {
      let broken = true;
      const device = withMethod(name, method);
      const good = memoryDisk(4096);
      const read: BlockDevice['read'] = (...args) => (broken ? device.read(...args) : good.read(...args));
      const { client, log } = serveRaw({ ...device, read });
      await client.go(SETTINGS);
      expect(await failureOf(client, name)).toEqual({ error: ErrorValue.EIO, message: '' });
      expect(log).toEqual([expect.stringMatching(/^command \d+ at 0 failed: gone wrong$/)]);
      broken = false;
      await expectService(client);
    },
  );

  const oddities: [string, unknown][] = [
    ['nothing', undefined],
    ['null', null],
    ['a symbol', Symbol('x')],
    ['an object without a text', Object.create(null)],
    ['an error without a message', Object.assign(new Error(), { message: undefined })],
    ['an error whose message throws', Object.defineProperty(new Error(), 'message', { get: () => never() })],
  ];
  const never = () => {
    throw new Error('no message');
  };
  test.each(oddities)('that throws %s is a line in the log', async (_what, thrown) => {
    for (const method of [
      () => {
        throw thrown;
      },
      // eslint-disable-next-line @typescript-eslint/prefer-promise-reject-errors -- that is what the test is about
      () => Promise.reject(thrown),
    ]) {
      const { client, log } = serveRaw(withMethod('write', method));
      await client.go(SETTINGS);
      expect((await failureOf(client, 'write')).error).toBe(ErrorValue.EIO);
      expect(log).toHaveLength(1);
      await expectService(client);
    }
  });

  test('that throws an NbdError decides what the client is told', async () => {
    const { client, log } = serveRaw(
      withMethod('write', () => {
        throw new NbdError('EDQUOT', 'your quota is used up', { offset: 1n });
      }),
    );
    await client.go(SETTINGS);
    expect(await failureOf(client, 'write')).toEqual({
      error: ErrorValue.ENOSPC,
      message: 'your quota is used up',
    });
    expect(log).toEqual([]);
  });

  test.each([
    ['an offset that is a number', { offset: 1 }],
    ['an offset that is no number', { offset: 'here' }],
    ['an offset beyond the request', { offset: 99n }],
    ['a message that is no text', { message: 5 }],
    ['a code of another version', { code: 'ENEW' }],
  ])('that throws an NbdError with %s does no harm', async (_what, odd) => {
    for (const later of [false, true]) {
      const { client } = serveRaw(
        withMethod('write', () => {
          const error = Object.assign(new NbdError('EIO', 'x'), odd);
          if (later) return Promise.reject(error);
          throw error;
        }),
      );
      await client.go(SETTINGS);
      expect((await failureOf(client, 'write')).error).toBe(ErrorValue.EIO);
      await expectService(client);
    }
  });

  test.each([
    ['read', 'ENOTSUP'],
    ['read', 'EOVERFLOW'],
    ['write', 'ENOTSUP'],
    ['write', 'EOVERFLOW'],
    ['trim', 'ENOTSUP'],
    ['flush', 'ENOTSUP'],
    ['cache', 'ENOTSUP'],
    ['extents', 'ENOTSUP'],
  ] as const)(
    'whose %s throws %s: the client sees EINVAL, as the document has no such answer',
    async (name, code) => {
      const { client } = serveRaw(
        withMethod(name, () => {
          throw new NbdError(code, 'no');
        }),
      );
      await client.go(SETTINGS);
      expect((await failureOf(client, name)).error).toBe(ErrorValue.EINVAL);
    },
  );

  test('that can not zero is written to, unless it was to be fast', async () => {
    const device = withMethod('zero', () => {
      throw new NbdError('ENOTSUP', 'no');
    });
    await device.write!(0n, Uint8Array.of(1));
    const { client } = serveRaw(device);
    await client.go();
    client.request({ ...REQUESTS.zero, flags: CommandFlag.FAST_ZERO });
    expect((await client.simpleReply()).error).toBe(ErrorValue.ENOTSUP);
    client.request(REQUESTS.zero);
    expect((await client.simpleReply()).error).toBe(0);
    client.request(REQUESTS.read);
    expect((await client.simpleReply(512)).payload[0]).toBe(0);
  });

  test.each([
    [
      'settles twice',
      (done: () => void) => {
        done();
        done();
      },
    ],
    [
      'throws after it has settled',
      (done: () => void) => {
        done();
        throw new Error('too late');
      },
    ],
  ])('that returns something like a promise which %s is answered once', async (_what, then) => {
    const { client } = serveRaw(withMethod('write', () => ({ then })));
    await client.go();
    client.request(REQUESTS.write);
    expect((await client.simpleReply()).error).toBe(0);
    client.request({ ...REQUESTS.read, cookie: 6n });
    expect((await client.simpleReply(512)).cookie).toBe(6n);
    await turns();
    expect(client.unread).toBe(0);
  });

  test('that fills nothing gives away nothing that another client has written', async () => {
    const { connect } = await serveOnSocket({ ...memoryDisk(1 << 20), read: () => undefined });
    const { client: one } = connect();
    await one.go();
    const secret = new Uint8Array(1 << 18).fill(0x5e);
    for (let i = 0; i < 20; i++) {
      one.request({ command: Command.WRITE, length: BigInt(secret.length), payload: secret });
      expect((await one.simpleReply()).error).toBe(0);
    }
    const { client: two } = connect();
    await two.go();
    for (const length of [512, 16_384, 65_536, 1 << 18]) {
      for (let i = 0; i < 8; i++) {
        two.request({ command: Command.READ, length: BigInt(length) });
        expect((await two.simpleReply(length)).payload.includes(0x5e)).toBe(false);
      }
    }
  });

  test('that reports holes where there are none does not upset the reply', async () => {
    const { client } = serveRaw({
      size: 1n << 20n,
      read(offset, into, options) {
        into.fill(1);
        options?.holes?.add(offset + 5000n, -1n);
        options?.holes?.add(offset - 9999n, 5n);
        options?.holes?.add(0n, 1n << 62n);
        options?.holes?.add(offset + 20_000n, 20_000n);
        options?.holes?.add(offset + 10_000n, 20_000n);
      },
    });
    await client.go({ structured: true });
    client.request({ command: Command.READ, offset: 4096n, length: 65_536n });
    let covered = 0;
    for (let done = false; !done;) {
      const { type, flags, payload } = await client.chunk();
      const isHole = type === ReplyType.OFFSET_HOLE;
      expect(new DataView(payload.buffer).getBigUint64(0)).toBe(4096n + BigInt(covered));
      covered += isHole ? new DataView(payload.buffer).getUint32(8) : payload.length - 8;
      done = flags === 1;
    }
    expect(covered).toBe(65_536);
  });

  test('that never answers holds up neither other requests nor other clients, and is closed when its client goes', async () => {
    let closed = 0;
    const { connect, server, log } = await serveOnSocket(
      {
        name: 'stuck',
        open: () => ({
          ...withMethod('write', () => new Promise(() => undefined)),
          close: () => {
            closed++;
          },
        }),
      },
      { limits: { graceTime: 20 } },
    );
    const { client } = connect();
    await client.go();
    client.request(REQUESTS.write);
    client.request({ ...REQUESTS.read, cookie: 6n });
    expect((await client.simpleReply(512)).cookie).toBe(6n);
    const { client: other } = connect();
    await other.go();
    other.request(REQUESTS.read);
    expect((await other.simpleReply(512)).error).toBe(0);
    client.hangUp();
    while (server.connections > 1) await turns(1);
    expect(closed).toBe(1);
    expect(log).toEqual(['requests of a client that is gone did not finish in time']);
  });

  test('that answers when its client is gone and it is closed does no harm', async () => {
    let answer!: () => void;
    const { client, closed } = serveRaw(
      withMethod('read', () => new Promise<void>((resolve) => (answer = resolve))),
      { limits: { graceTime: 10 } },
    );
    await client.go();
    client.request(REQUESTS.read);
    await turns(2);
    client.hangUp();
    await closed;
    answer();
    await turns();
  });

  test('is told when its client is gone', async () => {
    let aborted!: Promise<unknown>;
    const { client, closed } = serveRaw({
      ...memoryDisk(4096),
      read: (_offset, _into, options) =>
        (aborted = new Promise((_resolve, reject) => {
          options!.signal!.addEventListener('abort', () => {
            reject(options!.signal!.reason as Error);
          });
        })) as Promise<void>,
    });
    await client.go();
    client.request(REQUESTS.read);
    await turns(2);
    client.hangUp();
    await closed;
    await expect(aborted).rejects.toMatchObject({ code: 'ECONNRESET' });
  });
});

describe('once it is closed a device is not called any more', () => {
  /** A device that notes calls after its end, and whose writes wait until they are let go. */
  function gated(info: BlockDevice['info']) {
    const waiting: (() => void)[] = [];
    let isClosed = false;
    let late = 0;
    const call = async () => {
      if (isClosed) late++;
      await new Promise<void>((resolve) => waiting.push(resolve));
    };
    const device: BlockDevice = {
      size: 1n << 31n,
      ...(info && { info }),
      read: call,
      write: call,
      flush: call,
      close: () => {
        isClosed = true;
      },
    };
    return { device, waiting, late: () => late };
  }
  const blocks = { blockSize: { minimum: 4096, preferred: 4096, maximum: 1 << 20 } };

  test.each([
    ['zeroes written by the server', undefined, [{ command: Command.WRITE_ZEROES, length: 1n << 29n }]],
    ['a write followed by a flush', undefined, [{ ...REQUESTS.write, flags: CommandFlag.FUA }]],
    ['a write widened to blocks', blocks, [REQUESTS.write]],
    ['writes that wait for one another', blocks, [REQUESTS.write, REQUESTS.write, REQUESTS.write]],
    ['a read widened to blocks', blocks, [{ command: Command.READ, offset: 1n, length: 1n << 20n }]],
  ])('by %s', async (_what, info, requests) => {
    for (const goodbye of [false, true]) {
      const { device, waiting, late } = gated(info);
      const { client, closed } = serveRaw({ name: 'x', open: () => device }, { limits: { graceTime: 10 } });
      await client.go();
      for (const request of requests) client.request(request);
      if (goodbye) client.request({ command: Command.DISC });
      await turns(2);
      expect(waiting).not.toEqual([]);
      client.hangUp();
      await closed;
      for (let i = 0; i < 5; i++) {
        for (const resolve of waiting.splice(0)) resolve();
        await turns(2);
      }
      expect(late()).toBe(0);
    }
  });
});

describe('extents', () => {
  const serve = (extents: (sink: ExtentSink, offset: bigint) => unknown) =>
    serveRaw({
      ...memoryDisk(4096),
      extents: (offset, _length, sink) => void extents(sink, offset),
    });

  test.each<[string, (sink: ExtentSink) => unknown]>([
    ['none', () => undefined],
    ['one of no length', (sink) => sink.add(0n, 0)],
    ['one that goes backwards', (sink) => sink.add(-512n, 0)],
    ['flags that are no number', (sink) => sink.add(512n, NaN)],
    ['flags of more than 32 bits', (sink) => sink.add(512n, 2 ** 33)],
    ['a length that is no bigint', (sink) => sink.add(512 as unknown as bigint, 0)],
    ['a good one and a bad one', (sink) => sink.add(10n, 0) && sink.add(-10n, 0)],
  ])('%s: EIO, one line in the log, and the connection goes on', async (_what, extents) => {
    const { client, log } = serve(extents);
    await client.go(SETTINGS);
    expect(await failureOf(client, 'extents')).toEqual({ error: ErrorValue.EIO, message: '' });
    expect(log).toHaveLength(1);
    await expectService(client);
  });

  test.each<[string, (sink: ExtentSink, offset: bigint) => unknown]>([
    ['that go beyond the end of the disk', (sink) => sink.add(1n << 70n, 1)],
    [
      'without end',
      (sink) => {
        for (let i = 0; i < 1_000_000; i++) sink.add(1n, i & 1);
      },
    ],
    [
      'after it was told that they are enough',
      (sink) => {
        while (sink.add(100n, 0));
        sink.add(-1n, 1);
      },
    ],
  ])('%s are cut to what was asked about and what is there', async (_what, extents) => {
    const { client } = serve(extents);
    await client.go(SETTINGS);
    client.request({ command: Command.BLOCK_STATUS, offset: 1000n, length: 3096n });
    const { type, payload } = await client.chunk();
    expect(type).toBe(ReplyType.BLOCK_STATUS);
    const { count } = decodeBlockStatusHeader(payload);
    let sum = 0n;
    for (let i = 0; i < count; i++) sum += decodeExtent(payload, i).length;
    expect(sum).toBeLessThanOrEqual(3096n);
    await expectService(client);
  });
});

test('an extent is not made longer by one that comes after others were not wanted', async () => {
  const { client } = serveRaw({
    ...memoryDisk(4096),
    extents(_offset, _length, sink) {
      for (let i = 0; i < 5; i++) sink.add(100n, i & 1);
    },
  });
  await client.go(SETTINGS);
  client.request({ command: Command.BLOCK_STATUS, flags: CommandFlag.REQ_ONE, length: 4096n });
  expect(decodeExtent((await client.chunk()).payload, 0)).toEqual({ length: 100n, flags: 0n });
});

describe('a plugin', () => {
  const greeted = async (plugin: Plugin, options: Parameters<typeof serveRaw>[1] = {}) => {
    const served = serveRaw(plugin, options);
    await served.client.greet();
    return served;
  };
  const openOnly = (device: unknown): Plugin => ({ name: 'odd', open: () => device as BlockDevice });

  test.each<[string, unknown]>([
    ['nothing', undefined],
    ['null', null],
    ['a text', 'disk'],
    ['an object without read', { size: 5n }],
    ['a size that is a number', { ...memoryDisk(1), size: 5 }],
    ['a negative size', { ...memoryDisk(1), size: -1n }],
    ['a size of 2^63', { ...memoryDisk(1), size: 1n << 63n }],
    [
      'a minimum block of 3',
      { ...memoryDisk(1), info: { blockSize: { minimum: 3, preferred: 512, maximum: 512 } } },
    ],
    [
      'a size that is no multiple of its blocks',
      { ...memoryDisk(1), info: { blockSize: { minimum: 512, preferred: 512, maximum: 512 } } },
    ],
    [
      'a preferred block below the minimum',
      { ...memoryDisk(0), info: { blockSize: { minimum: 4096, preferred: 512, maximum: 4096 } } },
    ],
    ['a meta context without a namespace', { ...memoryDisk(1), info: { contexts: ['dirty'] } }],
    ['a meta context of the protocol', { ...memoryDisk(1), info: { contexts: ['base:allocation'] } }],
    ['a meta context twice', { ...memoryDisk(1), info: { contexts: ['x-a:b', 'x-a:b'] } }],
    [
      'a meta context that is too long',
      { ...memoryDisk(1), info: { contexts: [`x-a:${'b'.repeat(5000)}`] } },
    ],
    ['a description that is no text', { ...memoryDisk(1), info: { description: 5 } }],
  ])('that opens %s: the client is refused and the log says why', async (_what, device) => {
    const { client, log } = await greeted(openOnly(device));
    const infos = encodeInfoRequest({ name: '', infos: [1, 2, 3] });
    expect(await client.outcome(Option.GO, infos)).toBe(OptionReply.ERR_UNKNOWN);
    expect(log).toHaveLength(1);
    expect(await client.outcome(Option.LIST)).toBe(OptionReply.ACK);
  });

  test.each<[string, unknown]>([
    ['throws', new Error('no disk')],
    ['throws nothing', undefined],
  ])('whose open %s: the client is refused, told nothing, and the log says why', async (_what, thrown) => {
    const { client, log } = await greeted({
      name: 'odd',
      open() {
        throw thrown;
      },
    });
    const [reply] = await client.info(Option.GO);
    expect(reply).toMatchObject({ type: OptionReply.ERR_UNKNOWN });
    expect(new TextDecoder().decode(reply!.data)).not.toContain('no disk');
    expect(log).toHaveLength(1);
  });

  test('whose open never settles: the client is cut off, the others are served', async () => {
    let opens = 0;
    const { connect, server, log } = await serveOnSocket(
      { name: 'stuck', open: () => (opens++ === 0 ? new Promise(() => undefined) : memoryDisk(512)) },
      { limits: { handshakeTime: 300, graceTime: 20 } },
    );
    const { client } = connect();
    await client.greet();
    client.send(encodeOption(Option.GO, encodeInfoRequest({ name: '', infos: [] })));
    while (opens === 0) await turns(1);
    const { client: other } = connect();
    await other.go();
    await client.end();
    while (server.connections > 1) await turns(1);
    expect(log).toEqual(['the handshake of a client that is gone did not finish in time']);
    other.request(REQUESTS.read);
    expect((await other.simpleReply(512)).error).toBe(0);
  });

  test('that opens a device at last, when its client is long gone, has it closed', async () => {
    let open!: (device: BlockDevice) => void;
    let closed!: () => void;
    const deviceClosed = new Promise<void>((resolve) => (closed = resolve));
    const served = await greeted(
      { name: 'late', open: () => new Promise<BlockDevice>((resolve) => (open = resolve)) },
      { limits: { graceTime: 10 } },
    );
    served.client.send(encodeOption(Option.GO, encodeInfoRequest({ name: '', infos: [] })));
    await turns(2);
    served.client.hangUp();
    await served.closed;
    open({ ...memoryDisk(1), close: closed });
    await deviceClosed;
  });

  test.each<[string, Plugin['exports']]>([
    [
      'throws',
      () => {
        throw new Error('no list');
      },
    ],
    ['rejects', () => Promise.reject(new Error('no list'))],
    ['gives no list', () => 5 as never],
    ['gives a list of nothing', () => [undefined] as never],
  ])('whose list of exports %s: the client is refused and the log says why', async (_what, exports) => {
    const { client, log } = await greeted({ name: 'odd', exports: exports!, open: () => memoryDisk(1) });
    expect(await client.outcome(Option.LIST)).toBe(OptionReply.ERR_UNKNOWN);
    expect(log).toHaveLength(1);
    expect(await client.outcome(99)).toBe(OptionReply.ERR_UNSUP);
  });

  test('with names that can not be sent lists the others, and says so in one line', async () => {
    const bad = Array.from({ length: 3000 }, (_, i) => ({ name: (i & 1 ? 'a\0b' : 'x').repeat(5000) }));
    const exports = () => [{ name: 'first' }, ...bad, { name: 'last', description: 'y'.repeat(10_000) }];
    const { client, log } = await greeted({ name: 'odd', exports, open: () => memoryDisk(1) });
    const replies = await client.option(Option.LIST);
    expect(replies.map(({ type }) => type)).toEqual([
      OptionReply.SERVER,
      OptionReply.SERVER,
      OptionReply.ACK,
    ]);
    expect(log).toEqual([expect.stringContaining('4096')]);
  });

  test.each([
    [
      'throws',
      () => {
        throw new Error('stuck');
      },
    ],
    ['rejects', () => Promise.reject(new Error('stuck'))],
  ])('whose close %s: the next export is opened all the same, and the session ends', async (_what, close) => {
    const { client, log, closed } = await greeted({
      name: 'odd',
      exports: () => [{ name: 'a' }, { name: 'b' }],
      open: () => ({ ...memoryDisk(1), close }),
    });
    expect((await client.info(Option.INFO, 'a')).at(-1)!.type).toBe(OptionReply.ACK);
    expect((await client.info(Option.GO, 'b')).at(-1)!.type).toBe(OptionReply.ACK);
    client.hangUp();
    await closed;
    expect(log).toEqual(['export "a" did not close well: stuck', 'export "b" did not close well: stuck']);
  });
});

describe('the log', () => {
  const FORGED = 'ok\nnbd-serve: serving \u001b[2Jother\u202e\u0085\u2028';

  test('shows what a plugin throws in one line and without control characters', async () => {
    const { client, log } = serveRaw(
      withMethod('write', () => {
        throw new Error(FORGED);
      }),
    );
    await client.go(SETTINGS);
    await failureOf(client, 'write');
    expect(log).toEqual([
      'command 1 at 0 failed: ok nbd-serve: serving \\u{1b}[2Jother\\u{202e}\\u{85}\\u{2028}',
    ]);
  });

  test('shows the name of an export in the same way', async () => {
    const log: string[] = [];
    const note = (message: string) => {
      log.push(message);
    };
    const { client, closed } = serveRaw(
      {
        name: 'any',
        exports: () => [],
        open: () => ({
          ...memoryDisk(1),
          close() {
            throw new Error('x');
          },
        }),
      },
      { log: { warn: note, info: note, debug: note } },
    );
    await client.go({ name: FORGED });
    client.hangUp();
    await closed;
    expect(log).toHaveLength(2);
    expect(log.join('')).not.toMatch(/[\u0000-\u001f\u0085\u2028\u202e]/);
  });

  test('cuts what is very long', async () => {
    const { client, log } = serveRaw(
      withMethod('write', () => {
        throw new Error('x'.repeat(1 << 20));
      }),
    );
    await client.go(SETTINGS);
    await failureOf(client, 'write');
    expect(log[0]!.length).toBeLessThan(1100);
  });
});

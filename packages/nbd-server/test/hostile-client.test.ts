import {
  ClientFlag,
  Command,
  encodeClientFlags,
  encodeInfoRequest,
  encodeMetaContextRequest,
  encodeOption,
  ErrorValue,
  Option,
  OptionReply,
  type BlockDevice,
} from '@nbd/protocol';
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import { connectChoppily } from './raw/choppy.js';
import { encodeCompact } from './raw/raw-client.js';
import { memoryDisk, serveRaw, turns } from './raw/serve-raw.js';
import { serveOnSocket } from './raw/serve-socket.js';

/** A plugin with one disk that counts what is opened and closed. */
function counting(device: BlockDevice) {
  const counts = { opened: 0, closed: 0 };
  return {
    counts,
    name: 'counting',
    open: () => {
      counts.opened++;
      return {
        ...device,
        close: () => {
          counts.closed++;
        },
      };
    },
  };
}

/** Time passes when the test says so; what happens meanwhile does as ever. */
function useFakeTime(): void {
  vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] });
}

afterEach(() => {
  vi.useRealTimers();
});

const never = () => new Promise<void>(() => undefined);

describe('a client that does not read its replies', () => {
  const reads = (client: { request: ReturnType<typeof serveRaw>['client']['request'] }, count: number) => {
    for (let cookie = 0n; cookie < count; cookie++)
      client.request({ command: Command.READ, cookie, length: 65_536n });
  };

  test('has no more bytes under way than the limit, and gets all replies when it reads again', async () => {
    let calls = 0;
    const disk = memoryDisk(1 << 20);
    const device = {
      ...disk,
      read: () => {
        calls++;
      },
    };
    const { client, transport } = serveRaw(device, { limits: { bytes: 1 << 20 } });
    await client.go();
    client.deaf = true;
    reads(client, 300);
    await turns();
    // One reply may have left before the client stopped.
    expect(calls).toBeLessThanOrEqual(17);
    expect(transport.queuedBytes).toBeLessThanOrEqual((1 << 20) + 16 * 16);
    client.hear();
    for (let i = 0n; i < 300n; i++) expect((await client.simpleReply(65_536)).cookie).toBe(i);
  });

  test.each([16_384, 262_144])('has no more than %s bytes under way, if that is the limit', async (bytes) => {
    let calls = 0;
    const device: BlockDevice = {
      size: 1n << 30n,
      read() {
        calls++;
        return never();
      },
    };
    const { client } = serveRaw(device, { limits: { bytes, graceTime: 1 } });
    await client.go();
    for (let i = 0; i < 300; i++) client.request({ command: Command.READ, length: 4096n });
    await turns();
    expect(calls).toBe(bytes / 4096);
    client.hangUp();
  });

  test('has no more bytes under way by default than 64 MiB', async () => {
    let calls = 0;
    const { client, transport } = serveRaw({
      size: 1n << 30n,
      read: () => {
        calls++;
      },
    });
    await client.go();
    client.deaf = true;
    for (let i = 0; i < 10_000; i++) client.request({ command: Command.READ, length: 4n << 20n });
    await turns();
    expect(calls).toBeLessThanOrEqual(17);
    expect(transport.queuedBytes).toBeLessThanOrEqual((64 << 20) + 16 * 16);
  });

  test('does not keep the device from being closed when it goes', async () => {
    const plugin = counting(memoryDisk(1 << 20));
    const { client, closed } = serveRaw(plugin);
    await client.go();
    client.deaf = true;
    reads(client, 2000);
    await turns();
    client.hangUp();
    await closed;
    expect(plugin.counts).toEqual({ opened: 1, closed: 1 });
  });

  test('does not hold up another', async () => {
    const { connect } = await serveOnSocket(memoryDisk(1 << 20));
    const { client: deaf } = connect();
    await deaf.go();
    deaf.deaf = true;
    reads(deaf, 5000);
    const { client } = connect();
    await client.go();
    for (let i = 0; i < 500; i++) {
      client.request({ command: Command.READ, length: 4096n });
      expect((await client.simpleReply(4096)).error).toBe(0);
    }
  });
});

describe('block status', () => {
  test.each([
    ['compact', false],
    ['extended', true],
  ])('with %s replies counts as much as it may answer with', async (_what, extended) => {
    let asked = 0;
    let atOnce = 0;
    const device: BlockDevice = {
      size: 1n << 62n,
      read: () => undefined,
      async extents(_offset, _length, sink) {
        atOnce = Math.max(atOnce, ++asked);
        await turns(2);
        asked--;
        for (let i = 0; sink.add(1n, i & 1); i++);
      },
    };
    const { client, transport } = serveRaw(device, { limits: { bytes: 4 << 20 } });
    await client.go({ structured: true, extended, contexts: ['base:allocation'] });
    client.deaf = true;
    const request = { command: Command.BLOCK_STATUS, length: 1n << 31n };
    for (let i = 0; i < 100; i++) {
      if (extended) client.extendedRequest(request);
      else client.request(request);
    }
    await turns(100);
    // 65 536 extents of 8 or 16 bytes each.
    expect(atOnce).toBeLessThanOrEqual(extended ? 4 : 8);
    expect(transport.queuedBytes).toBeLessThanOrEqual((4 << 20) + 16 * 32);
  });

  test('of a device that answers at once does not hold up other connections, however many are asked for', async () => {
    let calls = 0;
    const device: BlockDevice = {
      size: 1n << 40n,
      read: () => undefined,
      extents(_offset, _length, sink) {
        calls++;
        for (let i = 0; sink.add(4096n, i & 1); i++);
      },
    };
    const { client } = serveRaw(device);
    await client.go({ structured: true, contexts: ['base:allocation'] });
    for (let i = 0; i < 64; i++) client.request({ command: Command.BLOCK_STATUS, length: 1n << 31n });
    // All that arrives in memory arrives before the event loop's next turn.
    await turns(1);
    expect(calls).toBeLessThan(8);
    for (let i = 0; i < 64; i++) expect((await client.chunk()).payload).toHaveLength(4 + 8 * 65_536);
  });
});

describe('a client that floods options', () => {
  test('has its next option answered once it has taken the replies to the last ones', async () => {
    let lists = 0;
    const exports = () => {
      lists++;
      return Array.from({ length: 5000 }, (_, i) => ({ name: `${i}`.padStart(1000, '0') }));
    };
    const plugin = { name: 'many', exports, open: () => memoryDisk(1) };
    const { client, transport } = serveRaw(plugin);
    await client.greet();
    client.deaf = true;
    for (let i = 0; i < 4; i++) client.send(encodeOption(Option.LIST));
    await turns();
    expect(lists).toBe(1);
    expect(transport.queuedBytes).toBeLessThan((64 << 10) + 1100);
    client.hear();
    for (let i = 0; i < 4; i++) expect(await client.optionReplies()).toHaveLength(5001);
  });

  test('is cut off after as many as the limit', async () => {
    const { client } = serveRaw(memoryDisk(1), { limits: { options: 10 } });
    await client.greet();
    for (let i = 0; i < 10; i++) expect(await client.outcome(99)).toBe(OptionReply.ERR_UNSUP);
    client.send(encodeOption(99));
    await client.end();
  });

  test('has each export that it asks about closed again', async () => {
    const plugin = { ...counting(memoryDisk(1)), exports: () => [{ name: 'a' }, { name: 'b' }] };
    const { client, closed } = serveRaw(plugin);
    await client.greet();
    for (let i = 0; i < 100; i++)
      expect((await client.info(Option.INFO, i & 1 ? 'a' : 'b')).at(-1)!.type).toBe(OptionReply.ACK);
    expect(plugin.counts).toEqual({ opened: 100, closed: 99 });
    client.hangUp();
    await closed;
    expect(plugin.counts).toEqual({ opened: 100, closed: 100 });
  });
});

describe('a client that is slow', () => {
  test('is served all the same when its bytes come one by one', async () => {
    const disk = memoryDisk(4096);
    const { client } = serveRaw(disk, { connect: connectChoppily(() => 1) });
    await client.go({ structured: true });
    client.request({ command: Command.WRITE, offset: 7n, length: 3n, payload: Uint8Array.of(1, 2, 3) });
    expect((await client.simpleReply()).error).toBe(0);
    client.request({ command: Command.READ, offset: 6n, length: 5n });
    expect((await client.chunk()).payload.subarray(8)).toEqual(Uint8Array.of(0, 1, 2, 3, 0));
  });

  describe('in its handshake', () => {
    beforeEach(useFakeTime);

    test.each([
      ['says nothing', 0],
      ['sends one byte after the other', 1],
    ])('is cut off after 10 seconds when it %s', async (_what, bytes) => {
      const { client, closed } = serveRaw(memoryDisk(1));
      await client.greet();
      const option = encodeOption(Option.GO, new Uint8Array(100));
      for (let second = 0; second < 10; second++) {
        client.send(option.subarray(second, second + bytes));
        await turns(2);
        expect(client.isEnded).toBe(false);
        vi.advanceTimersByTime(1000);
      }
      await Promise.all([client.end(), closed]);
    });

    test('has all the time that it wants once it has begun to use the disk', async () => {
      const { client } = serveRaw(memoryDisk(16));
      await client.go();
      vi.advanceTimersByTime(3_600_000);
      client.request({ command: Command.READ, length: 16n });
      expect((await client.simpleReply(16)).error).toBe(0);
    });
  });

  describe('where idle time is limited', () => {
    beforeEach(useFakeTime);

    test('is cut off, though it sends a byte of a request now and then', async () => {
      const { client, closed } = serveRaw(memoryDisk(16), { limits: { idleTime: 10_000 } });
      await client.go();
      vi.advanceTimersByTime(9000);
      client.request({ command: Command.READ, length: 16n });
      expect((await client.simpleReply(16)).error).toBe(0);
      const request = encodeCompact({ command: Command.READ, length: 16n });
      for (let second = 0; second < 10; second++) {
        client.send(request.subarray(second, second + 1));
        await turns(2);
        expect(client.isEnded).toBe(false);
        vi.advanceTimersByTime(1000);
      }
      await Promise.all([client.end(), closed]);
    });

    test('is not idle while it waits for an answer', async () => {
      let answer!: () => void;
      const read = () => new Promise<void>((resolve) => (answer = resolve));
      const { client } = serveRaw({ size: 16n, read }, { limits: { idleTime: 10_000 } });
      await client.go();
      client.request({ command: Command.READ, length: 16n });
      await turns(2);
      vi.advanceTimersByTime(3_600_000);
      answer();
      expect((await client.simpleReply(16)).error).toBe(0);
    });
  });
});

describe('a client that vanishes', () => {
  const conversation = [
    encodeClientFlags(ClientFlag.FIXED_NEWSTYLE | ClientFlag.NO_ZEROES),
    encodeOption(Option.LIST),
    encodeOption(Option.STRUCTURED_REPLY),
    encodeOption(
      Option.SET_META_CONTEXT,
      encodeMetaContextRequest({ name: '', queries: ['base:allocation'] }),
    ),
    encodeOption(Option.INFO, encodeInfoRequest({ name: '', infos: [] })),
    encodeOption(Option.GO, encodeInfoRequest({ name: '', infos: [3] })),
    encodeCompact({ command: Command.READ, length: 512n }),
    encodeCompact({ command: Command.WRITE, length: 40n }),
    new Uint8Array(40),
    encodeCompact({ command: Command.BLOCK_STATUS, length: 512n }),
    encodeCompact({ command: Command.DISC }),
  ].reduce((all, part) => Uint8Array.from([...all, ...part]));

  test.each([
    ['a device that answers at once', false],
    ['a device that takes its time', true],
  ])('after any byte of a conversation has its device closed once: %s', async (_what, slow) => {
    const disk = memoryDisk(4096);
    const wait = () => turns(1);
    const device = slow ? { ...disk, read: wait, write: wait } : disk;
    for (let count = 0; count <= conversation.length; count++) {
      const plugin = counting(device);
      const open = plugin.open;
      const { client, closed } = serveRaw({
        ...plugin,
        open: async () => {
          if (slow) await wait();
          return open();
        },
      });
      client.send(conversation.subarray(0, count));
      await turns(count % 8);
      client.hangUp();
      await closed;
      // It may have gone before anything was opened.
      expect(plugin.counts.closed, `after ${count} bytes`).toBe(plugin.counts.opened);
      expect(plugin.counts.opened).toBeLessThanOrEqual(1);
    }
  });

  test('while its export is opened has the device closed before the session is over', async () => {
    let closes = 0;
    let open!: (device: BlockDevice) => void;
    const { client, closed } = serveRaw({
      name: 'slow',
      open: () => new Promise<BlockDevice>((resolve) => (open = resolve)),
    });
    await client.greet();
    client.send(encodeOption(Option.GO, encodeInfoRequest({ name: '', infos: [] })));
    await turns(2);
    client.hangUp();
    let isOver = false;
    const over = closed.then(() => (isOver = true));
    await turns();
    expect(isOver).toBe(false);
    open({
      ...memoryDisk(1),
      close: () => {
        closes++;
      },
    });
    await over;
    expect(closes).toBe(1);
  });

  test('while its requests wait for room is noticed', async () => {
    const plugin = counting({ ...memoryDisk(4096), read: never });
    const { connect, server } = await serveOnSocket(plugin, { limits: { requests: 2, graceTime: 20 } });
    const { client } = connect();
    await client.go();
    for (let i = 0; i < 10; i++) client.request({ command: Command.READ, length: 512n });
    await turns();
    client.hangUp();
    while (server.connections > 0) await turns(1);
    expect(plugin.counts).toEqual({ opened: 1, closed: 1 });
  });

  test('after it has said DISC has its requests finished, and is not waited for for ever', async () => {
    const plugin = counting({ ...memoryDisk(4096), read: never });
    const { connect, server } = await serveOnSocket(plugin, { limits: { graceTime: 20 } });
    const { client } = connect();
    await client.go();
    client.request({ command: Command.READ, length: 512n });
    client.request({ command: Command.DISC });
    await turns();
    expect(server.connections).toBe(1);
    client.hangUp();
    while (server.connections > 0) await turns(1);
    expect(plugin.counts).toEqual({ opened: 1, closed: 1 });
  });

  test('in the middle of a payload does not hold up another', async () => {
    const plugin = counting(memoryDisk(1 << 20));
    const { connect, server } = await serveOnSocket(plugin);
    const { client: half } = connect();
    await half.go();
    half.request({ command: Command.WRITE, length: 100_000n, payload: new Uint8Array(5) });
    const { client } = connect();
    await client.go();
    client.request({ command: Command.READ, length: 4096n });
    expect((await client.simpleReply(4096)).error).toBe(0);
    half.hangUp();
    while (server.connections > 1) await turns(1);
    expect(plugin.counts).toEqual({ opened: 2, closed: 1 });
  });
});

describe('requests that are wrong', () => {
  test('never reach the device', async () => {
    const seen: string[] = [];
    const device: BlockDevice = {
      size: 10_000n,
      info: { readOnly: true },
      read: (offset, into) => void seen.push(`read ${offset} ${into.length}`),
      write: () => void seen.push('write'),
      zero: () => void seen.push('zero'),
      trim: () => void seen.push('trim'),
      cache: (offset, length) => void seen.push(`cache ${offset} ${length}`),
      flush: () => void seen.push('flush'),
      extents: (offset, length) => void seen.push(`extents ${offset} ${length}`),
    };
    const { client } = serveRaw(device, { limits: { payload: 4096 } });
    await client.go({ structured: true, contexts: ['base:allocation'] });
    const most = 0xffff_ffff_ffff_ffffn;
    const requests = [
      ...[Command.READ, Command.CACHE, Command.BLOCK_STATUS].flatMap((command) => [
        { command, offset: 10_000n, length: 1n },
        { command, offset: 9999n, length: 2n },
        { command, offset: most, length: 1n },
        { command, offset: most - 4095n, length: 0xffff_ffffn },
        { command, offset: 1n, length: 0xffff_ffffn },
      ]),
      { command: Command.READ, length: 4097n },
      { command: Command.WRITE, length: 1n, payload: Uint8Array.of(1) },
      { command: Command.WRITE_ZEROES, length: 1n },
      { command: Command.TRIM, length: 1n },
      { command: Command.FLUSH },
      { command: 7777, length: 1n },
    ];
    for (const request of requests) {
      client.request(request);
      const { payload } = await client.chunk();
      expect([ErrorValue.EINVAL, ErrorValue.EPERM]).toContain(new DataView(payload.buffer).getUint32(0));
    }
    expect(seen).toEqual([]);
    client.request({ command: Command.READ, length: 4096n });
    await client.chunk();
    expect(seen).toEqual(['read 0 4096']);
  });

  test('of ten thousand at once the device sees no more at a time than the limit', async () => {
    let calls = 0;
    let most = 0;
    const device = {
      ...memoryDisk(1 << 16),
      async read() {
        most = Math.max(most, ++calls);
        await turns(1);
        calls--;
      },
    };
    const { client } = serveRaw(device);
    await client.go();
    for (let i = 0; i < 10_000; i++) client.request({ command: Command.READ, length: 8n });
    for (let i = 0; i < 10_000; i++) expect((await client.simpleReply(8)).error).toBe(0);
    expect(most).toBe(256);
  });

  test('of a write over the limit the payload is consumed, and nothing of it kept', async () => {
    const disk = memoryDisk(1 << 20);
    const { client } = serveRaw(disk, { limits: { payload: 65_536 } });
    await client.go();
    const length = 1 << 20;
    client.request({
      command: Command.WRITE,
      length: BigInt(length),
      payload: new Uint8Array(length).fill(7),
    });
    expect((await client.simpleReply()).error).toBe(ErrorValue.EINVAL);
    client.request({ command: Command.READ, length: 65_536n });
    expect((await client.simpleReply(65_536)).payload.every((byte) => byte === 0)).toBe(true);
  });
});

describe('connections', () => {
  test('over the limit are closed as they come, and let in again when others have gone', async () => {
    const { connect, log, server } = await serveOnSocket(memoryDisk(1), { limits: { connections: 2 } });
    const [one, two, ...others] = Array.from({ length: 6 }, () => connect().client);
    await one!.go();
    await two!.go();
    await Promise.all(others.map((client) => client.end()));
    expect(log).toEqual(['connections are refused: 2 are open']);
    one!.hangUp();
    while (server.connections > 1) await turns(1);
    await connect().client.go();
  });
});

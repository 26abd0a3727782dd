import { Command, encodeOption, ErrorValue, Option, OptionReply, type BlockDevice } from '@nbd/protocol';
import { describe, expect, test } from 'vitest';
import { memoryDisk, serveRaw, turns } from './raw/serve-raw.js';
import { serveOnSocket } from './raw/serve-socket.js';

/** A disk whose reads wait until they are let go, and that notes what else it is asked. */
function gated() {
  const events: string[] = [];
  const waiting: (() => void)[] = [];
  const device: BlockDevice = {
    ...memoryDisk(4096),
    async read(_offset, into) {
      await new Promise<void>((resolve) => waiting.push(resolve));
      into.fill(7);
      events.push('read');
    },
    flush: () => {
      events.push('flush');
    },
    close: () => {
      events.push('close');
    },
  };
  const letGo = () => {
    for (const resolve of waiting.splice(0)) resolve();
  };
  const plugin = {
    name: 'gated',
    open: () => device,
    close: () => {
      events.push('plugin closed');
    },
  };
  return { plugin, device, events, letGo };
}

const READ = { command: Command.READ, length: 512n };

describe('when the server ends', () => {
  test('requests under way finish, later ones get ESHUTDOWN, the disk is flushed and closed, then the plugin', async () => {
    const { plugin, events, letGo } = gated();
    const { connect, server } = await serveOnSocket(plugin);
    const { client } = connect();
    await client.go();
    client.request({ ...READ, cookie: 1n });
    await turns();
    const closed = server.close();
    client.request({ ...READ, cookie: 2n });
    expect(await client.simpleReply(512)).toMatchObject({ error: ErrorValue.ESHUTDOWN, cookie: 2n });
    letGo();
    expect(await client.simpleReply(512)).toMatchObject({ error: 0, cookie: 1n });
    await Promise.all([client.end(), closed]);
    expect(events).toEqual(['read', 'flush', 'close', 'plugin closed']);
  });

  test('writes that come too late get ESHUTDOWN, and their payload is consumed', async () => {
    const { plugin, letGo } = gated();
    const { client, session } = serveRaw(plugin);
    await client.go();
    client.request(READ);
    await turns();
    session.shutdown();
    const payload = new Uint8Array(4000);
    client.request({ command: Command.WRITE, cookie: 2n, length: 4000n, payload });
    client.request({ ...READ, cookie: 3n });
    expect(await client.simpleReply()).toMatchObject({ error: ErrorValue.ESHUTDOWN, cookie: 2n });
    expect(await client.simpleReply()).toMatchObject({ error: ErrorValue.ESHUTDOWN, cookie: 3n });
    letGo();
    expect((await client.simpleReply(512)).error).toBe(0);
    await client.end();
  });

  test('a client in its handshake is told so, and is not waited for', async () => {
    const { client, session, closed } = serveRaw(memoryDisk(1), { limits: { graceTime: 20 } });
    await client.greet();
    expect(await client.outcome(Option.LIST)).toBe(OptionReply.ACK);
    session.shutdown();
    expect(await client.outcome(Option.LIST)).toBe(OptionReply.ERR_SHUTDOWN);
    expect((await client.info(Option.GO)).at(-1)!.type).toBe(OptionReply.ERR_SHUTDOWN);
    await Promise.all([client.end(), closed]);
  });

  test.each([
    ['that waits for its payload', { command: Command.WRITE, length: 100n }],
    ['that the plugin never answers', READ],
  ])(
    'a request %s is not waited for beyond the grace time, and the disk is flushed',
    async (_what, request) => {
      const { plugin, events } = gated();
      const { connect, server } = await serveOnSocket(plugin, { limits: { graceTime: 20 } });
      const { client } = connect();
      await client.go();
      client.request(request);
      await turns();
      await Promise.all([server.close(), client.end()]);
      expect(events).toEqual(['flush', 'close', 'plugin closed']);
    },
  );

  test('a client that does not read is not waited for, and the disk is flushed', async () => {
    const { device, events } = gated();
    const plugin = { name: 'x', open: () => ({ ...device, read: () => undefined }) };
    const { connect, server } = await serveOnSocket(plugin, { limits: { graceTime: 20 } });
    const { client } = connect();
    await client.go();
    client.deaf = true;
    for (let i = 0; i < 10_000; i++) client.request({ ...READ, length: 4096n });
    await turns();
    await server.close();
    expect(events).toEqual(['flush', 'close']);
  });

  test('a client that asks on and on is not waited for', async () => {
    const { connect, server } = await serveOnSocket(memoryDisk(4096), { limits: { graceTime: 50 } });
    const { client } = connect();
    await client.go();
    const ask = async () => {
      while (!client.isEnded) {
        client.request(READ);
        await turns(1);
      }
    };
    const asking = ask();
    await turns();
    await server.close();
    await asking;
  });

  test('a client that leaves during the last flush does not have the disk closed under it', async () => {
    const events: string[] = [];
    let flushed!: () => void;
    const { connect, server } = await serveOnSocket({
      name: 'x',
      open: () => ({
        ...memoryDisk(4096),
        async flush() {
          events.push('flush begins');
          await new Promise<void>((resolve) => (flushed = resolve));
          events.push('flush ends');
        },
        close: () => {
          events.push('close');
        },
      }),
    });
    const { client } = connect();
    await client.go();
    const closed = server.close();
    while (events.length === 0) await turns(1);
    client.hangUp();
    await turns();
    expect(events).toEqual(['flush begins']);
    flushed();
    await closed;
    expect(events).toEqual(['flush begins', 'flush ends', 'close']);
  });

  test.each([
    ['fails', () => Promise.reject(new Error('disk full')), /the last flush failed: disk full/],
    ['never ends', () => new Promise<void>(() => undefined), /the last flush did not finish in time/],
  ])('a last flush that %s is in the log, and the disk is closed', async (_what, flush, message) => {
    const { device, events } = gated();
    const plugin = { name: 'x', open: () => ({ ...device, flush }) };
    const { connect, server, log } = await serveOnSocket(plugin, { limits: { graceTime: 20 } });
    const { client } = connect();
    await client.go();
    await server.close();
    expect(log).toEqual([expect.stringMatching(message)]);
    expect(events).toEqual(['close']);
  });

  test('a read-only disk is not flushed', async () => {
    const { plugin, events } = gated();
    const { connect, server } = await serveOnSocket(plugin, { readOnly: true });
    const { client } = connect();
    await client.go();
    await server.close();
    expect(events).toEqual(['close', 'plugin closed']);
  });

  test('a disk that takes its time to close is waited for, and the log says so', async () => {
    let isClosed!: () => void;
    const { device, events } = gated();
    const { connect, server, log } = await serveOnSocket(
      {
        name: 'slow',
        open: () => ({ ...device, close: () => new Promise<void>((resolve) => (isClosed = resolve)) }),
        close: () => {
          events.push('plugin closed');
        },
      },
      { limits: { graceTime: 10 } },
    );
    const { client } = connect();
    await client.go();
    const closed = server.close();
    while (log.length === 0) await turns(1);
    expect(log).toEqual(['the plugin takes its time to close export ""']);
    expect(events).toEqual(['flush']);
    isClosed();
    await closed;
    expect(events).toEqual(['flush', 'plugin closed']);
  });

  test('transmission that begins at that moment ends at once', async () => {
    let open!: (device: BlockDevice) => void;
    const { events, device } = gated();
    const { client, session, closed } = serveRaw({
      name: 'x',
      open: () => new Promise<BlockDevice>((resolve) => (open = resolve)),
    });
    await client.greet();
    client.send(encodeOption(Option.EXPORT_NAME));
    client.request(READ);
    await turns(2);
    session.shutdown();
    client.deaf = true;
    open(device);
    client.hear();
    await Promise.all([client.end(), closed]);
    expect(events).toEqual(['flush', 'close']);
  });

  test('closing twice is closing once, and nobody is let in any more', async () => {
    const { plugin, events } = gated();
    const { server } = await serveOnSocket(plugin);
    await Promise.all([server.close(), server.close()]);
    await server.close();
    expect(events).toEqual(['plugin closed']);
    await expect(server.listen({ host: '127.0.0.1', port: 0 })).rejects.toMatchObject({ code: 'ESHUTDOWN' });
  });
});

import {
  ClientFlag,
  encodeExportNameReply,
  encodeGreeting,
  encodeInfo,
  encodeMetaContext,
  encodeServer,
  HandshakeFlag,
  Option,
  OptionReply,
  TransmissionFlag,
} from '@nbd/protocol';
import { describe, expect, test } from 'vitest';
import { describeExportOf, listExportsOf, openDisk, type NbdClient } from '../src/session/index.js';
import { answer } from './model-server.js';
import { ALL_FLAGS, scripted, type ScriptedServer } from './scripted-server.js';

/** Opens a disk of a server that behaves as told, reads from it, and closes it. */
async function open(
  script: (server: ScriptedServer) => Promise<void>,
  options?: Parameters<typeof openDisk>[1],
): Promise<NbdClient> {
  const { dial, failures } = scripted(async (server) => {
    await script(server);
    answer(server, new Uint8Array(4096).fill(7), await server.request());
    await server.request();
    server.end();
  });
  const disk = await openDisk(dial, options);
  expect(await disk.read(4000n, 3)).toEqual(Uint8Array.of(7, 7, 7));
  await disk.close();
  expect(failures).toEqual([]);
  return disk;
}

describe('all that servers speak', () => {
  test('fixed newstyle with everything', async () => {
    const disk = await open(
      async (server) => {
        expect(await server.greet()).toBe(ClientFlag.FIXED_NEWSTYLE | ClientFlag.NO_ZEROES);
        const heard: number[] = [];
        for (const type of [OptionReply.ERR_UNSUP, OptionReply.ACK]) {
          const { option } = await server.option();
          heard.push(option);
          server.reply(option, type);
        }
        server.structured = true;
        const { option } = await server.option();
        server.reply(option, OptionReply.META_CONTEXT, encodeMetaContext({ id: 3, name: 'base:allocation' }));
        server.reply(option, OptionReply.ACK);
        const go = await server.option();
        expect(go.data.subarray(4, 8).toString()).toBe('disk');
        const info = (...args: Parameters<typeof encodeInfo>) => {
          server.reply(go.option, OptionReply.INFO, encodeInfo(...args));
        };
        info({ kind: 'export', size: 4096n, flags: ALL_FLAGS });
        info({ kind: 'name', name: 'the disk' });
        info({ kind: 'description', description: 'a disk' });
        info({ kind: 'block-size', minimum: 1, preferred: 512, maximum: 65536 });
        info({ kind: 'unknown', type: 77, data: Uint8Array.of(1) });
        server.reply(go.option, OptionReply.ACK);
        expect([...heard, option, go.option]).toEqual([
          Option.EXTENDED_HEADERS,
          Option.STRUCTURED_REPLY,
          Option.SET_META_CONTEXT,
          Option.GO,
        ]);
      },
      { exportName: 'disk' },
    );
    expect(disk.size).toBe(4096n);
    expect(disk.terms).toEqual({
      protocol: 'fixed-newstyle',
      tls: undefined,
      structuredReplies: true,
      extendedHeaders: false,
      exportName: 'disk',
      canonicalName: 'the disk',
      description: 'a disk',
      size: 4096n,
      flags: ALL_FLAGS,
      blockSize: { minimum: 1, preferred: 512, maximum: 65536 },
      blockSizeAdvertised: true,
      contexts: new Map([['base:allocation', 3]]),
    });
    expect(disk.info).toMatchObject({ readOnly: false, multiConn: true, fua: true, description: 'a disk' });
  });

  test('extended headers', async () => {
    const disk = await open((server) => server.handshake({ size: 4096n, extended: true }));
    expect(disk.terms).toMatchObject({ extendedHeaders: true, structuredReplies: true });
  });

  test('neither, where they are not wanted', async () => {
    const disk = await open((server) => server.handshake({ size: 4096n, extended: true }), {
      structuredReplies: false,
    });
    expect(disk.terms).toMatchObject({ extendedHeaders: false, structuredReplies: false });
    expect(disk.terms.contexts.size).toBe(0);
  });

  test('structured replies where extended headers are not wanted', async () => {
    const disk = await open((server) => server.handshake({ size: 4096n, extended: true }), {
      extendedHeaders: false,
    });
    expect(disk.terms).toMatchObject({ extendedHeaders: false, structuredReplies: true });
  });

  test.each([true, false])('newstyle from before GO; zeroes: %s', async (zeroes) => {
    const disk = await open(
      async (server) => {
        const flags = await server.greet(
          HandshakeFlag.FIXED_NEWSTYLE | (zeroes ? 0 : HandshakeFlag.NO_ZEROES),
        );
        expect(flags & ClientFlag.NO_ZEROES).toBe(zeroes ? 0 : ClientFlag.NO_ZEROES);
        for (;;) {
          const { option, data } = await server.option();
          if (option === Option.EXPORT_NAME) {
            expect(data.toString()).toBe('disk');
            break;
          }
          server.reply(option, OptionReply.ERR_UNSUP);
        }
        server.send(encodeExportNameReply({ size: 4096n, flags: 1 }, zeroes));
      },
      { exportName: 'disk' },
    );
    expect(disk.terms).toMatchObject({
      protocol: 'fixed-newstyle',
      size: 4096n,
      flags: 1,
      blockSizeAdvertised: false,
    });
  });

  test('plain newstyle, which has no options', async () => {
    const disk = await open(async (server) => {
      expect(await server.greet(0)).toBe(0);
      expect((await server.option()).option).toBe(Option.EXPORT_NAME);
      server.send(encodeExportNameReply({ size: 4096n, flags: 3 }, true));
    });
    expect(disk.terms.protocol).toBe('newstyle');
    expect(disk.info.readOnly).toBe(true);
  });

  test('oldstyle', async () => {
    const disk = await open((server) => {
      server.send(encodeGreeting({ style: 'oldstyle', size: 4096n, flags: TransmissionFlag.HAS_FLAGS }));
      return Promise.resolve();
    });
    expect(disk.terms).toMatchObject({ protocol: 'oldstyle', size: 4096n });
  });

  test('a greeting that comes byte by byte', async () => {
    const disk = await open(async (server) => {
      const send = server.send.bind(server);
      server.send = (...parts) => {
        for (const byte of Buffer.concat(parts)) send(Uint8Array.of(byte));
      };
      await server.handshake({ size: 4096n });
    });
    expect(disk.size).toBe(4096n);
  });

  test('several meta contexts, of which the server has some', async () => {
    const contexts = ['base:allocation', 'qemu:dirty-bitmap:b'];
    const disk = await open((server) => server.handshake({ size: 4096n, contexts }), {
      contexts: [...contexts, 'qemu:allocation-depth'],
    });
    expect([...disk.terms.contexts.keys()]).toEqual(contexts);
    expect(disk.info.contexts).toEqual(['qemu:dirty-bitmap:b']);
    await expect(
      disk.extents(0n, 512n, { add: () => true }, { context: 'qemu:allocation-depth' }),
    ).rejects.toMatchObject({ code: 'ENOTSUP' });
  });
});

describe('a refusal is an error that says what to do', () => {
  test.each<[number, string, string, RegExp]>([
    [
      OptionReply.ERR_UNKNOWN,
      'no such export',
      'ENOENT',
      /refuses GO for export "": ERR_UNKNOWN \("no such export"\)/,
    ],
    [OptionReply.ERR_POLICY, '', 'EACCES', /ERR_POLICY$/],
    [OptionReply.ERR_TLS_REQD, '', 'EACCES', /ERR_TLS_REQD; use an nbds: URI/],
    [OptionReply.ERR_SHUTDOWN, '', 'ESHUTDOWN', /ERR_SHUTDOWN/],
    [0x8000_1234, 'new', 'EINVAL', /error 0x80001234 \("new"\)/],
  ])('0x%x %s', async (type, message, code, text) => {
    let goodbye: number | undefined;
    const { dial, servers } = scripted(async (server) => {
      await server.greet();
      for (;;) {
        const { option } = await server.option();
        if (option === Option.GO) server.refuse(option, type, message);
        else if (option === Option.ABORT) {
          goodbye = option;
          server.reply(option, OptionReply.ACK);
        } else server.reply(option, OptionReply.ERR_UNSUP);
      }
    });
    await expect(openDisk(dial, { name: 'nbd://server' })).rejects.toMatchObject({
      code,
      message: expect.stringMatching(text) as string,
    });
    await servers[0]!.closed;
    expect(goodbye).toBe(Option.ABORT);
  });

  test('a server that wants TLS for everything says so at once', async () => {
    const { dial, servers } = scripted(async (server) => {
      await server.greet();
      server.reply((await server.option()).option, OptionReply.ERR_TLS_REQD);
    });
    await expect(openDisk(dial)).rejects.toMatchObject({ code: 'EACCES' });
    await servers[0]!.closed;
  });

  test('an old server that hangs up does not have the export', async () => {
    const { dial } = scripted(async (server) => {
      await server.greet(0);
      await server.option();
      server.end();
    });
    await expect(openDisk(dial, { exportName: 'x' })).rejects.toMatchObject({
      code: 'ENOENT',
      message: expect.stringContaining('hangs up when asked for export "x"') as string,
    });
  });

  test('the name of the server stands in front', async () => {
    const { dial } = scripted((server) => {
      server.end();
      return Promise.resolve();
    });
    await expect(openDisk(dial, { name: 'nbd://server/disk' })).rejects.toThrow(
      /^nbd:\/\/server\/disk: the server/,
    );
  });
});

describe('TLS that is required is never done without (CVE-2019-14842)', () => {
  const refused = async (script: (server: ScriptedServer) => Promise<void>) => {
    const { dial, servers } = scripted(script);
    // The memory transport can't do TLS; for the server's part the client must ask before it finds out.
    const withTls: typeof dial = (attach) =>
      dial((transport) =>
        attach(Object.assign(transport, { upgradeTls: () => Promise.reject(new Error('no TLS here')) })),
      );
    const error: unknown = await openDisk(withTls, { tls: 'require' }).catch((error: unknown) => error);
    await servers[0]!.closed;
    return error;
  };

  test('by a server of the old style', async () => {
    expect(
      await refused((server) => {
        server.send(encodeGreeting({ style: 'oldstyle', size: 4096n, flags: 1 }));
        return Promise.resolve();
      }),
    ).toMatchObject({ code: 'ENOTSUP' });
  });

  test('by a server that claims to know no options', async () => {
    expect(
      await refused(async (server) => {
        await server.greet(0);
      }),
    ).toMatchObject({ code: 'ENOTSUP' });
  });

  test.each([OptionReply.ERR_UNSUP, OptionReply.ERR_POLICY, OptionReply.ERR_INVALID])(
    'by a server that refuses it with 0x%x',
    async (type) => {
      const heard: number[] = [];
      const error = await refused(async (server) => {
        await server.greet();
        for (;;) {
          const { option } = await server.option();
          heard.push(option);
          server.reply(option, type);
        }
      });
      expect(error).toMatchObject({
        code: 'ENOTSUP',
        message: expect.stringContaining('TLS is required') as string,
      });
      // Not a word about exports has been said in the clear.
      expect(heard).toEqual([Option.STARTTLS, Option.ABORT]);
    },
  );

  test('by a server that goes on in the clear', async () => {
    const error = await refused(async (server) => {
      await server.greet();
      const { option } = await server.option();
      server.reply(option, OptionReply.ACK);
      server.reply(Option.EXTENDED_HEADERS, OptionReply.ACK);
    });
    expect(error).toMatchObject({ code: expect.stringMatching(/EPROTO|EACCES/) as string });
  });

  test('by words in the clear in the same packet as the agreement', async () => {
    const error = await refused(async (server) => {
      await server.greet();
      const { option } = await server.option();
      const send = server.send.bind(server);
      const words: Uint8Array[] = [];
      server.send = (...parts) => words.push(...parts);
      server.reply(option, OptionReply.ACK);
      server.reply(Option.EXTENDED_HEADERS, OptionReply.ACK);
      send(Buffer.concat(words));
    });
    expect(error).toMatchObject({
      code: 'EPROTO',
      message: expect.stringContaining('in the clear') as string,
    });
  });

  test('by a connection that has none', async () => {
    const { dial } = scripted((server) => server.handshake());
    await expect(openDisk(dial, { tls: 'require' })).rejects.toMatchObject({ code: 'ENOTSUP' });
  });

  test('unless it is only allowed', async () => {
    const { dial } = scripted((server) => server.handshake());
    const disk = await openDisk(dial, { tls: 'allow' });
    expect(disk.terms.tls).toBeUndefined();
    disk.destroy();
  });
});

describe('asking a server', () => {
  test('for the list of its exports', async () => {
    const { dial, servers } = scripted(async (server) => {
      await server.greet();
      const { option } = await server.option();
      server.reply(option, OptionReply.SERVER, encodeServer({ name: 'one', description: 'the first' }));
      server.reply(option, OptionReply.SERVER, encodeServer({ name: '' }));
      server.reply(option, OptionReply.ACK);
      expect((await server.option()).option).toBe(Option.ABORT);
    });
    expect(await listExportsOf(dial)).toEqual([{ name: 'one', description: 'the first' }, { name: '' }]);
    await servers[0]!.closed;
  });

  test('who does not tell', async () => {
    const { dial } = scripted(async (server) => {
      await server.greet();
      server.refuse((await server.option()).option, OptionReply.ERR_POLICY, 'none of your business');
    });
    await expect(listExportsOf(dial)).rejects.toMatchObject({ code: 'EACCES' });
  });

  test.each([0, undefined])('who is too old for lists', async (flags) => {
    const { dial } = scripted(async (server) => {
      if (flags === 0) await server.greet(0);
      else server.send(encodeGreeting({ style: 'oldstyle', size: 0n, flags: 1 }));
    });
    await expect(listExportsOf(dial)).rejects.toMatchObject({ code: 'ENOTSUP' });
  });

  test('about an export', async () => {
    const { dial, servers } = scripted(async (server) => {
      await server.greet();
      for (const type of [OptionReply.ERR_UNSUP, OptionReply.ACK])
        server.reply((await server.option()).option, type);
      const contexts = await server.option();
      for (const name of ['base:allocation', 'x:y']) {
        server.reply(contexts.option, OptionReply.META_CONTEXT, encodeMetaContext({ id: 0, name }));
      }
      server.reply(contexts.option, OptionReply.ACK);
      const { option } = await server.option();
      expect(option).toBe(Option.INFO);
      server.reply(option, OptionReply.INFO, encodeInfo({ kind: 'export', size: 5n, flags: 3 }));
      server.reply(option, OptionReply.ACK);
      expect((await server.option()).option).toBe(Option.ABORT);
    });
    expect(await describeExportOf(dial, { exportName: 'x' })).toMatchObject({
      exportName: 'x',
      size: 5n,
      flags: 3,
      contexts: ['base:allocation', 'x:y'],
    });
    await servers[0]!.closed;
  });

  test('about an export, who is too old for that', async () => {
    for (const protocol of ['oldstyle', 'newstyle'] as const) {
      const { dial, servers, failures } = scripted(async (server) => {
        if (protocol === 'oldstyle') server.send(encodeGreeting({ style: protocol, size: 5n, flags: 3 }));
        else {
          await server.greet(0);
          await server.option();
          server.send(encodeExportNameReply({ size: 5n, flags: 3 }, true));
        }
        expect((await server.request()).command).toBe(2);
      });
      expect(await describeExportOf(dial)).toMatchObject({ protocol, size: 5n, flags: 3, contexts: [] });
      await servers[0]!.closed;
      expect(failures).toEqual([]);
    }
  });
});

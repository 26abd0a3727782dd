import {
  encodeInfoRequest,
  encodeMetaContextRequest,
  encodeOption,
  Option,
  OptionReply,
} from '@nbd/protocol';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import {
  certificates,
  connectRaw,
  describeWith,
  preSharedKeys,
  serve,
  type Certificates,
  type RawClient,
  type Server,
} from '../../harness/index.js';

const { STARTTLS, LIST, INFO, GO, ABORT, STRUCTURED_REPLY, SET_META_CONTEXT, EXPORT_NAME } = Option;

describeWith(['openssl'], '"TLS support"', () => {
  let certs: Certificates;
  let forced: Server;
  let selective: Server;
  let plain: Server;
  beforeAll(async () => {
    certs = await certificates();
    const tls = ['--tls-certificates', certs.path];
    [forced, selective, plain] = await Promise.all([
      serve(['plugin-memory', '1M', '--tls=require', ...tls]),
      serve(['plugin-memory', '1M', '--tls=on', ...tls]),
      serve(['plugin-memory', '1M']),
    ]);
  });
  afterAll(async () => {
    await Promise.all([forced.stop(), selective.stop(), plain.stop()]);
    await certs[Symbol.asyncDispose]();
  });

  const name = encodeInfoRequest({ name: '', infos: [] });

  async function greeted(
    server: Server,
    flags?: number,
  ): Promise<{ client: RawClient; startTls: () => Promise<void> }> {
    const connection = await connectRaw(server, { certificates: certs.path });
    await connection.client.greet(flags);
    return connection;
  }

  describe('"NOTLS mode"', () => {
    test('STARTTLS gets ERR_POLICY, and the handshake goes on', async () => {
      const { client } = await greeted(plain);
      expect(await client.outcome(STARTTLS)).toBe(OptionReply.ERR_POLICY);
      expect(await client.outcome(LIST)).toBe(OptionReply.ACK);
    });
  });

  describe('"FORCEDTLS mode"', () => {
    test.each([LIST, INFO, GO, STRUCTURED_REPLY, SET_META_CONTEXT, Option.EXTENDED_HEADERS, 12_345])(
      'option %s before TLS gets ERR_TLS_REQD and nothing else',
      async (option) => {
        const { client } = await greeted(forced);
        const replies = await client.option(option, option === INFO || option === GO ? name : undefined);
        expect(replies.map(({ type }) => type)).toEqual([OptionReply.ERR_TLS_REQD]);
      },
    );

    test('EXPORT_NAME before TLS ends the connection', async () => {
      const { client } = await greeted(forced);
      client.send(encodeOption(EXPORT_NAME));
      await client.end();
    });

    test('ABORT works before TLS', async () => {
      const { client } = await greeted(forced);
      expect(await client.outcome(ABORT)).toBe(OptionReply.ACK);
      await client.end();
    });

    test('a client that does not speak fixed newstyle has no way in', async () => {
      const { client } = await greeted(forced, 0);
      client.send(encodeOption(LIST));
      await client.end();
    });

    test('after TLS all works, and ERR_TLS_REQD is not heard again', async () => {
      const { client, startTls } = await greeted(forced);
      expect(await client.outcome(STARTTLS)).toBe(OptionReply.ACK);
      await startTls();
      expect(await client.outcome(STARTTLS)).toBe(OptionReply.ERR_INVALID);
      expect(await client.outcome(LIST)).toBe(OptionReply.ACK);
      expect(await client.outcome(GO, name)).toBe(OptionReply.ACK);
    });
  });

  describe('"SELECTIVETLS mode"', () => {
    test('all works without TLS, and with it', async () => {
      const { client, startTls } = await greeted(selective);
      expect(await client.outcome(INFO, name)).toBe(OptionReply.ACK);
      expect(await client.outcome(STARTTLS)).toBe(OptionReply.ACK);
      await startTls();
      expect(await client.outcome(GO, name)).toBe(OptionReply.ACK);
    });

    test('what was agreed on before TLS is forgotten', async () => {
      const { client, startTls } = await greeted(selective);
      expect(await client.outcome(STRUCTURED_REPLY)).toBe(OptionReply.ACK);
      expect(await client.outcome(STARTTLS)).toBe(OptionReply.ACK);
      await startTls();
      const contexts = encodeMetaContextRequest({ name: '', queries: ['base:allocation'] });
      expect(await client.outcome(SET_META_CONTEXT, contexts)).toBe(OptionReply.ERR_INVALID);
    });
  });

  test('STARTTLS with data gets ERR_INVALID', async () => {
    const { client } = await greeted(forced);
    expect(await client.outcome(STARTTLS, Uint8Array.of(1))).toBe(OptionReply.ERR_INVALID);
    expect(await client.outcome(STARTTLS)).toBe(OptionReply.ACK);
  });

  test('plain text that comes along with STARTTLS ends the connection unanswered', async () => {
    const { client } = await greeted(forced);
    client.send(Uint8Array.from([...encodeOption(STARTTLS), ...encodeOption(LIST)]));
    await client.end();
    expect(client.unread).toBe(0);
  });

  test('a client that does not do TLS after all is cut off', async () => {
    const { client } = await greeted(forced);
    expect(await client.outcome(STARTTLS)).toBe(OptionReply.ACK);
    client.send(encodeOption(LIST), new Uint8Array(100));
    await client.end();
  });

  test('with --tls-verify-peer a client without a certificate of ours is cut off', async () => {
    await using others = await certificates();
    await using server = await serve([
      ...['plugin-memory', '1M', '--tls=require', '--tls-certificates', certs.path, '--tls-verify-peer'],
    ]);
    const known = await connectRaw(server, { certificates: certs.path });
    await known.client.greet();
    expect(await known.client.outcome(STARTTLS)).toBe(OptionReply.ACK);
    await known.startTls();
    expect(await known.client.outcome(GO, name)).toBe(OptionReply.ACK);

    const stranger = await connectRaw(server, { certificates: others.path, verifyPeer: false });
    await stranger.client.greet();
    expect(await stranger.client.outcome(STARTTLS)).toBe(OptionReply.ACK);
    await stranger.startTls().catch(() => undefined);
    await stranger.client.end();
  });

  test('a pre-shared key lets in who has it', async () => {
    await using keys = await preSharedKeys('alice');
    await using strangers = await preSharedKeys('alice');
    await using server = await serve(['plugin-memory', '1M', '--tls-psk', keys.file]);
    const known = await connectRaw(server, { psk: keys.file, username: 'alice' });
    await known.client.greet();
    expect(await known.client.outcome(STARTTLS)).toBe(OptionReply.ACK);
    await known.startTls();
    expect(await known.client.outcome(GO, name)).toBe(OptionReply.ACK);

    const stranger = await connectRaw(server, { psk: strangers.file, username: 'alice' });
    await stranger.client.greet();
    await stranger.client.outcome(STARTTLS);
    await expect(stranger.startTls()).rejects.toThrow();
    await stranger.client.end();
  });
});

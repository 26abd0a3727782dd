import { once } from 'node:events';
import type { AddressInfo } from 'node:net';
import { fileURLToPath } from 'node:url';
import { createContext, runInContext } from 'node:vm';
import {
  ClientFlag,
  Command,
  decodeExportNameReply,
  encodeClientFlags,
  encodeOption,
  EXPORT_NAME_REPLY_SIZE,
  EXPORT_NAME_REPLY_ZEROES,
  GREETING_SIZE,
  Option,
  TransmissionFlag,
  type BlockDevice,
  type ByteTransport,
} from '@nbd/protocol';
import { connectInMemory } from '@nbd/transport/memory';
import { joinWebSocket } from '@nbd/transport/websocket';
import { build } from 'esbuild';
import { expect, test } from 'vitest';
import { WebSocket, WebSocketServer } from 'ws';
import { Exports, pluginOf, ServerSession } from '../src/session/index.js';
import { encodeCompact, RawClient } from './raw/raw-client.js';

/** What a page makes of the file that a person picked. */
function blobDevice(blob: Blob): BlockDevice {
  return {
    size: BigInt(blob.size),
    async read(offset, into) {
      const start = Number(offset);
      into.set(new Uint8Array(await blob.slice(start, start + into.length).arrayBuffer()));
    },
  };
}

/** The way of OpenBMC's clients: EXPORT_NAME at once, simple replies. */
async function readLikeBmc(client: RawClient, size: number): Promise<Uint8Array> {
  await client.read(GREETING_SIZE);
  client.send(encodeClientFlags(ClientFlag.FIXED_NEWSTYLE), encodeOption(Option.EXPORT_NAME));
  const reply = decodeExportNameReply(await client.read(EXPORT_NAME_REPLY_SIZE + EXPORT_NAME_REPLY_ZEROES));
  expect(reply).toEqual({
    size: BigInt(size),
    flags: TransmissionFlag.HAS_FLAGS | TransmissionFlag.READ_ONLY,
  });
  client.send(encodeCompact({ command: Command.READ, length: BigInt(size) }));
  const { error, payload } = await client.simpleReply(size);
  expect(error).toBe(0);
  client.send(encodeCompact({ command: Command.DISC }));
  await client.end();
  return payload;
}

const IMAGE = Uint8Array.from({ length: 100_000 }, (_, i) => (i * 31) & 0xff);

test('an ISO picked in a browser is served over a WebSocket', async () => {
  const hub = new WebSocketServer({ host: '127.0.0.1', port: 0 });
  await once(hub, 'listening');
  const url = `ws://127.0.0.1:${(hub.address() as AddressInfo).port}`;
  const page = new WebSocket(url);
  const [[bmc]] = await Promise.all([once(hub, 'connection') as Promise<[WebSocket]>, once(page, 'open')]);
  const exports = new Exports(pluginOf(blobDevice(new Blob([IMAGE]))), { readOnly: true });
  let client!: RawClient;
  joinWebSocket(bmc, (transport) => (client = new RawClient(transport)));
  joinWebSocket(page, (transport) => new ServerSession(transport, { exports }));
  expect(Buffer.compare(await readLikeBmc(client, IMAGE.length), IMAGE)).toBe(0);
  hub.close();
});

test('the session bundles for a browser and runs with nothing of Node', async () => {
  const { outputFiles } = await build({
    stdin: {
      contents: `
        import { Exports, pluginOf, ServerSession } from '@nbd/server/session';
        export const serve = (transport, device) =>
          new ServerSession(transport, { exports: new Exports(pluginOf(device)) });
      `,
      resolveDir: fileURLToPath(new URL('.', import.meta.url)),
    },
    bundle: true,
    platform: 'browser',
    format: 'iife',
    globalName: 'bundle',
    write: false,
    logLevel: 'silent',
  });
  // What a browser has and the bundle uses: anything else fails.
  const { TextEncoder, TextDecoder, AbortController, queueMicrotask, setTimeout, clearTimeout } = globalThis;
  const sandbox = { TextEncoder, TextDecoder, AbortController, queueMicrotask, setTimeout, clearTimeout };
  const page = createContext(sandbox) as {
    bundle: { serve(transport: ByteTransport, device: BlockDevice): ServerSession };
  };
  runInContext(outputFiles[0]!.text, page);
  let client!: RawClient;
  connectInMemory(
    (transport) => page.bundle.serve(transport, blobDevice(new Blob([IMAGE]))),
    (transport) => (client = new RawClient(transport)),
  );
  expect(Buffer.compare(await readLikeBmc(client, IMAGE.length), IMAGE)).toBe(0);
});

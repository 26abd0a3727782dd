import { randomFillSync } from 'node:crypto';
import { once } from 'node:events';
import { readFile } from 'node:fs/promises';
import { createServer } from 'node:https';
import type { AddressInfo } from 'node:net';
import { fileURLToPath } from 'node:url';
import { build } from 'esbuild';
import { expect, test } from 'vitest';
import { certificates, describeWith, NBD_SERVE, run, serve, temporaryDirectory } from '../harness/index.js';

const HTTP = fileURLToPath(new URL('../../examples/http.ts', import.meta.url));

/** A web server that sends parts of one file, with a certificate of a private authority. */
async function webServer(content: Uint8Array, folder: string) {
  const server = createServer(
    { key: await readFile(`${folder}/server-key.pem`), cert: await readFile(`${folder}/server-cert.pem`) },
    (request, response) => {
      const [, first, last] = /^bytes=(\d+)-(\d+)$/.exec(request.headers.range ?? '') ?? [];
      const head = { 'accept-ranges': 'bytes' };
      if (first === undefined) {
        response.writeHead(200, { ...head, 'content-length': content.length }).end();
        return;
      }
      const range = `bytes ${first}-${last}/${content.length}`;
      response.writeHead(206, { ...head, 'content-range': range });
      response.end(content.subarray(Number(first), Number(last) + 1));
    },
  );
  await once(server.listen(0, '127.0.0.1'), 'listening');
  return {
    url: `https://localhost:${(server.address() as AddressInfo).port}/disk.img`,
    async [Symbol.asyncDispose]() {
      const closed = once(server, 'close');
      server.close();
      server.closeAllConnections();
      await closed;
    },
  };
}

/** The example, compiled as its users do it whose Node does not run TypeScript. */
async function compiled(outfile: string): Promise<string> {
  await build({ entryPoints: [HTTP], bundle: true, platform: 'node', format: 'esm', outfile });
  return outfile;
}

describeWith(['openssl', 'nbdcopy'], 'examples/http.ts serves a file of an https server', () => {
  test('every byte of it, with a certificate that is trusted; nothing with one that is not', async () => {
    await using authority = await certificates();
    await using directory = await temporaryDirectory();
    const content = randomFillSync(new Uint8Array(3_000_001));
    await using web = await webServer(content, authority.path);
    const plugin = await compiled(directory.file('http.mjs'));
    const copy = directory.file('copy.img');

    const env = { ...process.env, NODE_EXTRA_CA_CERTS: `${authority.path}/ca-cert.pem` };
    await using server = await serve([plugin, web.url], { env });
    await run('nbdcopy', [server.uri, copy]);
    expect((await readFile(copy)).equals(content)).toBe(true);

    const { code, stderr } = await run(process.execPath, [NBD_SERVE, plugin, web.url], { anyCode: true });
    expect(code).toBe(1);
    expect(stderr).toMatch(/^plugin-http: https:.*disk\.img: .*certificate\n$/);
  });
});

import { once } from 'node:events';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { checkDevice } from '@nbd/plugin/testing';
import { afterEach, beforeEach, expect, test } from 'vitest';
import http from '../http.js';

const content = Uint8Array.from({ length: 300_000 }, (_, i) => (i * 7919) >> 5);
let etag = '"1"';
let sendsParts = true;
let diesHalfway = false;

const server = createServer((request, response) => {
  const [, first, last] = /^bytes=(\d+)-(\d+)$/.exec(request.headers.range ?? '') ?? [];
  const head = { etag, ...(sendsParts && { 'accept-ranges': 'bytes' }) };
  if (request.url !== '/disk.img') {
    response.writeHead(404).end();
  } else if (request.method === 'HEAD' || first === undefined) {
    response.writeHead(200, { ...head, 'content-length': content.length }).end();
  } else if (!etag.startsWith('W/') && request.headers['if-match'] !== etag) {
    response.writeHead(412).end();
  } else {
    const range = `bytes ${first}-${last}/${content.length}`;
    const part = content.subarray(Number(first), Number(last) + 1);
    response.writeHead(206, { ...head, 'content-range': range, 'content-length': part.length });
    if (!diesHalfway) response.end(part);
    else response.write(part.subarray(0, part.length / 2), () => response.destroy());
  }
});

let url: string;
beforeEach(async () => {
  etag = '"1"';
  sendsParts = true;
  diesHalfway = false;
  await once(server.listen(0, '127.0.0.1'), 'listening');
  url = `http://127.0.0.1:${(server.address() as AddressInfo).port}/disk.img`;
});
afterEach(async () => {
  const closed = once(server, 'close');
  server.close();
  server.closeAllConnections();
  await closed;
});

test('a file on a web server keeps the contract of a block device', async () => {
  const plugin = await http.create({ url });
  await checkDevice(() => plugin.open({ exportName: '', readOnly: false }), { rounds: 12 });
});

test('its bytes are those of the file', async () => {
  const plugin = await http.fromArguments([url]);
  const device = await plugin.open({ exportName: '', readOnly: false });
  expect(device.size).toBe(300_000n);
  const bytes = new Uint8Array(1000);
  await device.read(123_456n, bytes);
  expect(bytes).toEqual(content.subarray(123_456, 124_456));
});

test('a file that changes meanwhile is an error, not a mixture', async () => {
  const plugin = await http.create({ url });
  const device = await plugin.open({ exportName: '', readOnly: false });
  etag = '"2"';
  await expect(device.read(0n, new Uint8Array(512))).rejects.toThrow(/disk\.img has changed/);
});

test('a file that is missing, or sent as a whole only, is refused', async () => {
  await expect(http.create({ url: `${url}.not` })).rejects.toThrow('the server answers 404');
  sendsParts = false;
  await expect(http.create({ url })).rejects.toThrow('sends no parts of files');
});

test('an answer that breaks off is an error that says so', async () => {
  const plugin = await http.create({ url });
  const device = await plugin.open({ exportName: '', readOnly: false });
  diesHalfway = true;
  await expect(device.read(0n, new Uint8Array(512))).rejects.toThrow(/disk\.img: other side closed/);
});

test('a server that has gone is an error that says why', async () => {
  const plugin = await http.create({ url });
  const device = await plugin.open({ exportName: '', readOnly: false });
  server.close();
  server.closeAllConnections();
  await expect(device.read(0n, new Uint8Array(512))).rejects.toMatchObject({ code: 'EIO' });
  await expect(http.create({ url })).rejects.toThrow(/disk\.img: .*ECONNREFUSED/);
  server.listen(0, '127.0.0.1');
});

test('a weak tag is not one to compare bytes by', async () => {
  etag = 'W/"1"';
  const plugin = await http.create({ url });
  const device = await plugin.open({ exportName: '', readOnly: false });
  await device.read(0n, new Uint8Array(512));
});

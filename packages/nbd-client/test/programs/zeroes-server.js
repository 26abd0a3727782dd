// A server of zeroes for the tests of captive servers: it has what it takes to be asked, and to be read from.
import { createServer } from 'node:net';
import process from 'node:process';
import {
  encodeGreeting,
  encodeInfo,
  encodeOptionReply,
  encodeServer,
  encodeSimpleReply,
} from '@nbd/protocol';

const [mode] = process.argv.slice(2);

if (mode === 'fail') {
  process.stderr.write('there is no disk today\n');
  process.exit(1);
}
if (mode === 'stubborn') process.on('SIGTERM', () => undefined);

if (mode === 'stdio') serve(process.stdin, process.stdout);
else {
  if (process.env.LISTEN_FDS !== '1' || Number(process.env.LISTEN_PID) !== process.pid) {
    throw new Error('not started by socket activation');
  }
  createServer((socket) => {
    if (mode === 'say') process.stderr.write(`${JSON.stringify(process.argv.slice(2))}\n`);
    serve(socket, socket);
  }).listen({ fd: 3 });
}

function serve(readable, writable) {
  let arrived = Buffer.alloc(0);
  let transmitting = false;
  let greeted = false;
  writable.on('error', () => undefined);
  writable.write(encodeGreeting({ style: 'newstyle', flags: 3 }));
  readable.on('data', (chunk) => {
    arrived = Buffer.concat([arrived, chunk]);
    while (step());
  });

  function step() {
    if (!greeted) return (greeted = take(4) !== undefined);
    if (transmitting) return request();
    if (arrived.length < 16) return false;
    const option = arrived.readUInt32BE(8);
    const data = take(16 + arrived.readUInt32BE(12));
    if (data === undefined) return false;
    const reply = (type, data) => writable.write(encodeOptionReply(option, type, data));
    if (option === 3) reply(2, encodeServer({ name: '' }));
    if (option === 6 || option === 7) {
      if (data.readUInt32BE(16) > 0) {
        reply(0x80000006);
        return true;
      }
      reply(3, encodeInfo({ kind: 'export', size: 1n << 20n, flags: 0x101 }));
      transmitting = option === 7;
    }
    reply([2, 3, 6, 7].includes(option) ? 1 : 0x80000001);
    return true;
  }

  function request() {
    const bytes = take(28);
    if (bytes === undefined) return false;
    if (bytes.readUInt16BE(6) === 2) {
      writable.end();
      return false;
    }
    const header = new Uint8Array(16);
    encodeSimpleReply(header, 0, 0, bytes.readBigUInt64BE(8));
    writable.write(header);
    writable.write(new Uint8Array(bytes.readUInt32BE(24)));
    return true;
  }

  function take(length) {
    if (arrived.length < length) return undefined;
    const bytes = arrived.subarray(0, length);
    arrived = arrived.subarray(length);
    return bytes;
  }
}

// node read.js CLIENT URI [LENGTH IN_FLIGHT]: reads a disk to nowhere, with @nbd/client (nbd) or @vates/nbd-client
// (vates), and prints how many bytes a second that was and how much memory it took.
import { connect } from '@nbd/client';
import NbdClient from '@vates/nbd-client';

// Few and large: what is under way stays in the processor's cache. It is what @nbd/client is fastest with.
const [client, uri = '', length = 512 << 10, inFlight = 3] = process.argv.slice(2);
const LENGTH = Number(length);
const IN_FLIGHT = Number(inFlight);
const CONNECTIONS = uri.startsWith('nbd+unix:') ? 2 : 4;

const disk = client === 'vates' ? await openVates() : await openNbd();

const start = performance.now();
let next = 0;
await Promise.all(Array.from({ length: IN_FLIGHT }, readOn));
const seconds = (performance.now() - start) / 1000;
await disk.close();
console.log(JSON.stringify({ figure: disk.size / seconds, peak: process.resourceUsage().maxRSS * 1024 }));

async function readOn() {
  const read = disk.reader();
  while (next < disk.size) {
    const offset = next;
    next += LENGTH;
    await read(offset);
  }
}

async function openNbd() {
  const opened = await connect(uri, { connections: CONNECTIONS });
  return {
    size: Number(opened.size),
    reader() {
      const buffer = new Uint8Array(LENGTH);
      return (/** @type {number} */ offset) => opened.read(BigInt(offset), buffer);
    },
    close: () => opened.close(),
  };
}

async function openVates() {
  const { hostname, port } = new URL(uri);
  const opened = new NbdClient({ address: hostname, port: Number(port) });
  await opened.connect();
  return {
    size: Number(opened.exportSize),
    reader: () => (/** @type {number} */ offset) => opened.readBlock(offset / LENGTH, LENGTH),
    close: () => opened.disconnect(),
  };
}

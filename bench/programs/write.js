// node write.js URI: writes all over a disk with @nbd/client, and prints how many bytes a second that was and how much
// memory it took.
import { randomFillSync } from 'node:crypto';
import { connect } from '@nbd/client';

const LENGTH = 256 << 10;
const IN_FLIGHT = 64;

const disk = await connect(process.argv[2] ?? '', { connections: 4 });
const size = Number(disk.size);
const content = randomFillSync(new Uint8Array(LENGTH));

const start = performance.now();
let next = 0;
await Promise.all(Array.from({ length: IN_FLIGHT }, writeOn));
const seconds = (performance.now() - start) / 1000;
await disk.close();
console.log(JSON.stringify({ figure: size / seconds, peak: process.resourceUsage().maxRSS * 1024 }));

async function writeOn() {
  while (next < size) {
    const offset = next;
    next += LENGTH;
    await disk.write(BigInt(offset), content);
  }
}

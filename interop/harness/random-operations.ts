import { run } from './run.js';

export interface RandomOperationsOptions {
  readonly seed: number;
  /** How many operations. */
  readonly count: number;
  /** Offsets of the 256 KiB that are worked on. */
  readonly places: readonly bigint[];
}

/**
 * Thousands of random writes, zeroes, trims, reads and extent queries by libnbd, over three connections at once, each
 * against a reference in Python. Resolves to what the disk has at each of the places, in the end.
 * @throws Error that names the first operation with a wrong result, and the seed.
 */
export async function randomOperations(uri: string, options: RandomOperationsOptions): Promise<Buffer> {
  const places = `[${options.places.join(', ')}]`;
  const script = [
    `uri, seed, count, places = ${JSON.stringify(uri)}, ${options.seed}, ${options.count}, ${places}`,
    SCRIPT,
  ].join('\n');
  const { bytes } = await run('nbdsh', ['-c', script], { timeout: 200_000 });
  return bytes;
}

const SCRIPT = `
import random, sys
import nbd

LENGTH = 256 * 1024
HOLE, ZERO = 1, 2
random.seed(seed)

def connect():
    h = nbd.NBD()
    h.add_meta_context("base:allocation")
    h.connect_uri(uri)
    return h

connections = [connect() for _ in range(3)]
assert connections[0].can_multi_conn()
model = [bytearray(LENGTH) for _ in places]

def check(good, what, place, start, length):
    if not good:
        sys.exit("seed %d: %s is wrong at %d + %d, %d bytes" % (seed, what, places[place], start, length))

def content(length):
    kind = random.randrange(4)
    if kind == 0:
        return bytes(length)
    if kind == 1:
        return bytes([random.randrange(1, 256)]) * length
    return random.randbytes(length)

def extents(h, place, start, length):
    found = []
    def collect(context, offset, entries, error):
        found.extend(zip(entries[0::2], entries[1::2]))
    h.block_status(length, places[place] + start, collect)
    check(len(found) > 0, "number of extents", place, start, length)
    at = start
    for size, flags in found:
        check(size > 0, "length of an extent", place, start, length)
        if flags & ZERO:
            end = min(at + size, LENGTH)
            check(not any(model[place][at:end]), "extent", place, at, size)
        at += size
        if at >= LENGTH:
            break

for _ in range(count):
    h = random.choice(connections)
    place = random.randrange(len(places))
    if random.random() < 0.5:
        start = random.randrange(LENGTH // 4096) * 4096
        length = min(random.randrange(1, 16) * 4096, LENGTH - start)
    else:
        start = random.randrange(LENGTH)
        length = min(random.choice([1, 511, 4097, random.randrange(1, 70000)]), LENGTH - start)
    offset = places[place] + start
    end = start + length
    kind = random.choice(["write", "write", "write", "zero", "zero", "trim", "read", "read", "extents", "flush"])
    if kind == "write":
        data = content(length)
        h.pwrite(data, offset, random.choice([0, 0, nbd.CMD_FLAG_FUA]))
        model[place][start:end] = data
    elif kind == "zero":
        h.zero(length, offset, random.choice([0, nbd.CMD_FLAG_NO_HOLE, nbd.CMD_FLAG_FUA]))
        model[place][start:end] = bytes(length)
    elif kind == "trim":
        h.trim(length, offset)
        # What is read afterwards may be anything; of these disks it is what was there, or zeroes.
        after = h.pread(length, offset)
        good = all(new in (0, old) for new, old in zip(after, model[place][start:end]))
        check(good, "what is read after a trim", place, start, length)
        model[place][start:end] = after
    elif kind == "read":
        check(h.pread(length, offset) == model[place][start:end], "read", place, start, length)
    elif kind == "extents":
        extents(h, place, start, length)
    else:
        h.flush()

for place, at in enumerate(places):
    for h in connections:
        check(h.pread(LENGTH, at) == model[place], "the end", place, 0, LENGTH)
    sys.stdout.buffer.write(model[place])
`;

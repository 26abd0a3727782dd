import { ExtentFlag, formatSize, NbdError, type BlockDevice } from '@nbd/protocol';
import { IslandFinder } from './islands.js';
import { StringWriter } from './string-writer.js';

export interface DiskToDataOptions {
  /** Also of a disk that is not mostly empty. Default: false. */
  readonly force?: boolean;
}

/** Most bytes to spell out, whatever is asked for: a string of text has its limits. */
const MOST_SPELLED = 64 << 20;
const CHUNK = 1 << 20;

/**
 * The string of the data language that serves the same bytes again, to be read by people: offsets, repeats, and text
 * where there is text. nbdkit understands it too. Where the device has holes it is not read.
 *
 * ```ts
 * await diskToData(device); // '@0x1fe 0x55 0xaa\n@0x100000\n'
 * ```
 *
 * @throws NbdError EFBIG if more than half of the disk would have to be spelled out, and with `force` over 64 MiB;
 * what the device throws.
 */
export async function diskToData(
  device: BlockDevice,
  { force = false }: DiskToDataOptions = {},
): Promise<string> {
  const most = force || device.size / 2n > MOST_SPELLED ? MOST_SPELLED : Number(device.size / 2n);
  const writer = new StringWriter();
  const islands = new IslandFinder((island) => {
    writer.add(island);
    if (writer.spelled > most) throw tooMuch(device.size, force);
  });
  const chunk = new Uint8Array(Math.min(CHUNK, device.info?.blockSize?.maximum ?? CHUNK));
  for await (const { offset, length } of dataOf(device)) {
    const end = offset + length;
    for (let at = offset; at < end; at += BigInt(chunk.length)) {
      const piece = end - at < chunk.length ? chunk.subarray(0, Number(end - at)) : chunk;
      await device.read(at, piece);
      islands.add(at, piece);
    }
  }
  islands.finish(device.size);
  writer.finish(device.size);
  if (writer.spelled > most) throw tooMuch(device.size, force);
  return writer.lines.map((line) => `${line}\n`).join('');
}

interface Range {
  readonly offset: bigint;
  readonly length: bigint;
}

/** Where a device may hold something else than zeroes. */
async function* dataOf(device: BlockDevice): AsyncGenerator<Range> {
  if (device.extents === undefined) {
    yield { offset: 0n, length: device.size };
    return;
  }
  for (let at = 0n; at < device.size;) {
    const data: Range[] = [];
    const start = at;
    await device.extents(at, device.size - at, {
      add(length, flags) {
        const end = at + length < device.size ? at + length : device.size;
        if ((flags & ExtentFlag.ZERO) === 0) data.push({ offset: at, length: end - at });
        at = end;
        return at < device.size;
      },
    });
    if (at === start)
      throw new NbdError('EIO', `the disk says nothing about its extents at offset ${String(at)}`);
    yield* data;
  }
}

function tooMuch(size: bigint, force: boolean): NbdError {
  const message = force
    ? `more than ${formatSize(MOST_SPELLED)} of the disk would have to be spelled out, too much for a string`
    : `the disk is not mostly empty: over half of its ${formatSize(size)} would have to be spelled out`;
  return new NbdError('EFBIG', message);
}

import { isNbdError, NbdError, type BlockDevice } from '@nbd/protocol';
import { segmentsBefore } from '../engine/scan.js';
import { verify, type VerifyOptions } from '../verify.js';

/** What was copied last is compared as a whole: what a destination has lost by a crash is there. */
const LATEST = 4n << 20n;

/** Bytes of a sample, and a multiple of every minimum block size. */
const SAMPLE = 65_536n;

/** Places that are compared besides: one disk is told from another, if not every change is found. */
const SAMPLES = 32;

/** Segments that are looked at for data, from a random place on: a giant disk may have no end of holes. */
const LOOK_AHEAD = 64;

/**
 * Compares samples of what is said to be copied. They are chosen anew each time, where the source has data.
 * @throws NbdError EINVAL if they differ
 */
export async function compareSamples(
  source: BlockDevice,
  destination: BlockDevice,
  done: bigint,
  options: VerifyOptions,
): Promise<void> {
  const latest = done > LATEST ? done - LATEST : 0n;
  try {
    await verify(source, destination, { ...options, start: latest, end: done });
    for (let sample = 0; sample < SAMPLES && latest > 0n; sample++) {
      const place = sample === 0 ? 0n : randomPlace(latest);
      const start = await nextData(source, place, latest, options);
      if (start === undefined) continue;
      const end = start + SAMPLE < latest ? start + SAMPLE : latest;
      await verify(source, destination, { ...options, start, end });
    }
  } catch (error) {
    // A read that fails has a cause; a difference has none.
    if (!isNbdError(error) || error.code !== 'EIO' || error.cause !== undefined) throw error;
    throw new NbdError('EINVAL', `${error.message}, where both were the same: one of them has changed`, {
      ...(error.offset !== undefined && { offset: error.offset }),
    });
  }
}

/** Where the source has data, from a place on. */
async function nextData(
  source: BlockDevice,
  start: bigint,
  end: bigint,
  options: VerifyOptions,
): Promise<bigint | undefined> {
  const name = options.names?.source ?? 'the source';
  const signal = options.signal ?? new AbortController().signal;
  let segments = 0;
  for await (const segment of segmentsBefore(source, name, { start, end }, options, signal)) {
    if (!segment.zero) return segment.start - (segment.start % SAMPLE);
    if (++segments === LOOK_AHEAD) break;
  }
  return undefined;
}

/** A multiple of {@link SAMPLE} below `end`. */
function randomPlace(end: bigint): bigint {
  const samples = (end + SAMPLE - 1n) / SAMPLE;
  // Of 53 random bits: the places of giant disks are not all as likely, and need not be.
  return ((BigInt(Math.floor(Math.random() * 2 ** 53)) * samples) >> 53n) * SAMPLE;
}

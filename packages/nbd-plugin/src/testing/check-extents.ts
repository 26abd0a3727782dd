import { BASE_ALLOCATION, ExtentFlag } from '@nbd/protocol';
import { firstOtherThan } from './subject.js';
import type { Subject } from './subject.js';

interface Extent {
  readonly offset: bigint;
  readonly length: bigint;
  readonly flags: number;
}

/** Asks for extents all over the device, and compares those that are zeroes with the bytes. */
export async function checkExtents(subject: Subject, rounds: number): Promise<void> {
  const { ranges, random, device } = subject;
  if (!device.extents) return;

  let offset = 0n;
  for (let call = 0; call < rounds && offset < ranges.end; call++) {
    const extents = await checkExtentsAt(subject, offset, ranges.end - offset);
    offset = endOf(extents.at(-1)!);
  }
  for (let round = 0; round < rounds; round++) {
    const { offset, length } = ranges.pick();
    const rest = (ranges.end - offset) / BigInt(ranges.unit);
    const long = (1n + random.belowBig(rest)) * BigInt(ranges.unit);
    await checkExtentsAt(subject, offset, random.oneIn(2) ? BigInt(length) : long);
  }
  for (const context of device.info?.contexts ?? []) {
    const { offset, length } = ranges.pick();
    await extentsAt(subject, offset, BigInt(length), { context });
  }
}

/** Asks for the extents of one range, with any number of them wanted, and compares them with the bytes. */
export async function checkExtentsAt(subject: Subject, offset: bigint, length: bigint): Promise<Extent[]> {
  const { ranges, random } = subject;
  const extents = await extentsAt(subject, offset, length, {
    wanted: random.oneIn(3) ? random.upTo(4) : 1000,
  });
  for (const extent of extents) ranges.addLandmark(endOf(extent) > ranges.end ? ranges.end : endOf(extent));
  const zeroes = extents.filter((extent) => (extent.flags & ExtentFlag.ZERO) !== 0);
  for (let i = 0; i < Math.min(zeroes.length, 4); i++) await checkZeroes(subject, random.pick(zeroes));
  return extents;
}

async function extentsAt(
  subject: Subject,
  offset: bigint,
  length: bigint,
  { context, wanted = 1000 }: { context?: string; wanted?: number },
): Promise<Extent[]> {
  const { device, ranges } = subject;
  const what = `extents${context === undefined ? '' : ` of ${context}`} for ${length} bytes at ${offset}`;
  const extents: Extent[] = [];
  let problem: string | undefined;
  let settled = false;
  let at = offset;
  const add = (extent: bigint, flags: number): boolean => {
    if (settled) subject.reportLate(`${what} called the sink after it had settled`);
    problem ??= problemWith(extent, flags, at);
    if (problem !== undefined) return false;
    extents.push({ offset: at, length: extent, flags });
    at += extent;
    return extents.length < wanted && at < offset + length;
  };
  const problemWith = (extent: bigint, flags: number, at: bigint): string | undefined => {
    if (extents.length >= wanted) return 'went on after the sink had returned false';
    if (at >= offset + length) return `has an extent at ${at}, after the end of the range`;
    if (typeof extent !== 'bigint' || extent < 1n) return `has an extent of ${String(extent)} bytes at ${at}`;
    if (at + extent > device.size)
      return `has an extent of ${extent} bytes at ${at}, beyond the end of the device`;
    if (extent % BigInt(ranges.unit) !== 0n && at + extent !== device.size) {
      return `has an extent of ${extent} bytes at ${at}, not a multiple of the minimum block size`;
    }
    if (!Number.isSafeInteger(flags) || flags < 0) return `has the flags ${String(flags)} at ${at}`;
    return undefined;
  };
  const options = context === undefined ? [undefined, {}, { context: BASE_ALLOCATION }] : [{ context }];
  await subject.settle(what, () => device.extents!(offset, length, { add }, subject.random.pick(options)));
  settled = true;
  if (problem !== undefined) throw new Error(`${what} ${problem}`);
  if (extents.length === 0) throw new Error(`${what} has no extent`);
  return extents;
}

/** Reads the start, the end and some place of an extent that is said to be zeroes. */
async function checkZeroes(subject: Subject, { offset, length }: Extent): Promise<void> {
  const { ranges, random } = subject;
  const unit = BigInt(ranges.unit);
  const units = (offset + length > ranges.end ? ranges.end - offset : length) / unit;
  if (units === 0n) return;
  const most = Number(units < BigInt(ranges.maxLength) / unit ? units : BigInt(ranges.maxLength) / unit);
  const last = units - BigInt(most);
  for (const skipped of [0n, last, random.belowBig(last + 1n)]) {
    const range = { offset: offset + skipped * unit, length: most * ranges.unit };
    const data = firstOtherThan(0, await subject.read(range));
    if (data !== -1) {
      throw new Error(
        `extents say that the ${length} bytes at ${offset} are zeroes, but byte ${range.offset + BigInt(data)} is not`,
      );
    }
  }
}

function endOf({ offset, length }: Extent): bigint {
  return offset + length;
}

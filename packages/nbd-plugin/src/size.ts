import { NbdError } from '@nbd/protocol';

export function parseSize(text: string): bigint {
  const match = /^(\d+)([kMGTPE]?)$/i.exec(text);
  if (!match) throw new NbdError('EINVAL', `'${text}' is not a size`);
  return BigInt(match[1]!) << BigInt(10 * 'kmgtpe'.indexOf((match[2] ?? '').toLowerCase() || '-') + 10);
}

const UNITS = ['', 'K', 'M', 'G', 'T', 'P', 'E'];

/** The shortest exact way to write a size: `4K`, `1000`. */
export function formatSize(size: bigint): string {
  let unit = 0;
  while (size !== 0n && size % 1024n === 0n && unit < UNITS.length - 1) {
    size /= 1024n;
    unit++;
  }
  return `${size}${UNITS[unit]!}`;
}

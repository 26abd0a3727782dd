import bytes from 'bytes';
import { MAX_DEVICE_SIZE } from './device.js';
import { NbdError } from './errors.js';

/**
 * The size in bytes that a person wrote: `512`, `4k`, `1M`, `1.5GB`, `7E`, or `2s` for sectors of 512 bytes. K, M, G,
 * T, P and E are powers of 1024 in either case, with or without `B` or `iB`, as for qemu and nbdkit. It is exact: a
 * fraction must come out as whole bytes.
 *
 * ```ts
 * parseSize('1.5G'); // 1610612736n
 * parseSize('7E'); // 8070450532247928832n
 * ```
 *
 * @param options.what what the size is of, as the person wrote it: messages then start with `what=text`.
 * @throws NbdError EINVAL, with the reason, for anything that is not understood and for more than 2^63 - 1 bytes.
 */
export function parseSize(text: string, options?: { readonly what?: string }): bigint {
  // No size is that long, and digits take ever more time to become a bigint.
  if (text.length > 64)
    throw new NbdError('EINVAL', `${options?.what ?? 'text'} of ${text.length} characters is not a size`);
  const subject = options?.what === undefined ? JSON.stringify(text) : `${options.what}=${text}`;
  const match = SIZE.exec(text);
  if (match === null)
    throw new NbdError('EINVAL', `${subject} is not a size; write one like 512, 4k, 1.5G or 2s`);
  const [, whole = '', fraction = '', unit = ''] = match;

  const scale = 10n ** BigInt(fraction.length);
  const scaled = BigInt(whole + fraction) * bytesOf(unit);
  if (scaled % scale !== 0n) throw new NbdError('EINVAL', `${subject} is not a whole number of bytes`);
  const size = scaled / scale;
  if (size > MAX_DEVICE_SIZE) {
    throw new NbdError('EINVAL', `${subject} is more than 2^63 - 1 bytes, the most that a device can have`);
  }
  return size;
}

/**
 * A size for people, to one decimal place: 1 KiB is 1024 bytes.
 *
 * ```ts
 * formatSize(5476083302n); // '5.1 GiB'
 * formatSize(7n << 60n); // '7 EiB'
 * ```
 *
 * @param size in bytes, 0 or more.
 */
export function formatSize(size: bigint | number): string {
  const count = Number(size);
  // `bytes` ends at P: what is larger is put to it as 1024 times smaller, in P, and called E afterwards.
  const shown =
    count < EXBIBYTE
      ? bytes.format(count, STYLE)?.replace(/([KMGTP])B$/, '$1iB')
      : bytes.format(count / 1024, { ...STYLE, unit: 'PB' })?.replace('PB', 'EiB');
  if (shown === undefined) throw new NbdError('EINVAL', `${size} is not a size in bytes`);
  return shown;
}

const SIZE = /^(\d+)(?:\.(\d+))?(?: ?(b|s|[kmgtpe](?:i?b)?))?$/i;
const EXBIBYTE = 2 ** 60;
const STYLE = { unitSeparator: ' ', decimalPlaces: 1 };
const SECTOR = 512n;

function bytesOf(unit: string): bigint {
  const letter = unit.charAt(0).toLowerCase();
  if (letter === '' || letter === 'b') return 1n;
  if (letter === 's') return SECTOR;
  return 1024n ** BigInt('kmgtpe'.indexOf(letter) + 1);
}

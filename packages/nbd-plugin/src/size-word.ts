/** The shortest exact way to write a size on a command line: `4K`, `1000`. */
export function sizeWord(size: bigint): string {
  let unit = 0;
  while (size !== 0n && size % 1024n === 0n && unit < UNITS.length - 1) {
    size /= 1024n;
    unit++;
  }
  return `${size}${UNITS[unit]!}`;
}

const UNITS = ['', 'K', 'M', 'G', 'T', 'P', 'E'];

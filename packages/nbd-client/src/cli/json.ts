/** JSON for people and programs, with sizes above 2^53 as the numbers that they are. */
export function toJson(value: unknown): string {
  const text = JSON.stringify(
    value,
    (_key, item: unknown) => (typeof item === 'bigint' ? `${MARK}${item}` : item),
    2,
  );
  return `${text.replace(MARKED, '$1')}\n`;
}

// No name or description has a NUL in it: the protocol forbids it, and the codecs see to it.
const MARK = '\0bigint:';
const MARKED = /"\\u0000bigint:(\d+)"/g;

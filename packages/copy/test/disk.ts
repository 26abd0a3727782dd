import fc from 'fast-check';

/** A disk of islands: stretches of data between stretches that are holes, zeroes written out, or data. */
export const disk = fc
  .array(
    fc.record({
      length: fc.oneof(fc.integer({ min: 1, max: 20_000 }), fc.constantFrom(512, 4096, 65_536)),
      kind: fc.constantFrom('data' as const, 'hole' as const, 'zeroes' as const),
    }),
    { maxLength: 20 },
  )
  .map((parts) => {
    const holes: { start: number; end: number }[] = [];
    const bytes = new Uint8Array(parts.reduce((sum, { length }) => sum + length, 0));
    let at = 0;
    for (const { length, kind } of parts) {
      if (kind === 'data') for (let i = 0; i < length; i++) bytes[at + i] = ((at + i) % 251) + 1;
      if (kind === 'hole') holes.push({ start: at, end: at + length });
      at += length;
    }
    return { bytes, holes };
  });

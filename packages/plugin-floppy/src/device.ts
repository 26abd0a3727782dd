import { ExtentFlag, type BlockDevice } from '@nbd/protocol';
import { allOf } from './clusters.js';
import type { Section } from './sections.js';

/** A read-only device made of these sections, the last of which ends it. */
export function deviceOf(sections: readonly Section[], description: string): BlockDevice {
  const extents = extentsOf(sections);
  return {
    size: BigInt(sections.at(-1)?.end ?? 0),
    info: { readOnly: true, multiConn: true, description },

    read(offset, into, { holes } = {}) {
      const pending: Promise<void>[] = [];
      let at = Number(offset);
      let rest = into;
      for (const { start, end, read } of sections) {
        if (end <= at) continue;
        const part = rest.subarray(0, end - at);
        if (part.length === 0) break;
        if (read === undefined) {
          part.fill(0);
          holes?.add(BigInt(at), BigInt(part.length));
        } else {
          const reading = read(at - start, part);
          if (reading !== undefined) pending.push(reading);
        }
        at += part.length;
        rest = rest.subarray(part.length);
      }
      return pending.length > 1 ? allOf(pending) : pending[0];
    },

    locate(offset, length, sink) {
      const at = Number(offset);
      const section = sections.find(({ end }) => end > at);
      if (!section?.locate || at + length > section.end) return false;
      return section.locate(at - section.start, length, sink);
    },

    extents(offset, length, sink) {
      let at = offset;
      for (const { end, flags } of extents) {
        if (end <= at) continue;
        if (at >= offset + length || !sink.add(end - at, flags)) return;
        at = end;
      }
    },
  };
}

interface Extent {
  readonly end: bigint;
  readonly flags: number;
}

function extentsOf(sections: readonly Section[]): Extent[] {
  const extents: Extent[] = [];
  for (const { end, read } of sections) {
    const flags = read === undefined ? ExtentFlag.HOLE | ExtentFlag.ZERO : 0;
    if (extents.at(-1)?.flags === flags) extents.pop();
    extents.push({ end: BigInt(end), flags });
  }
  return extents;
}

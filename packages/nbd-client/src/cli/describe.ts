import { formatSize } from '@nbd/protocol';
import { featuresOf } from '../features.js';
import type { ExportDescription } from '../session/inquiries.js';
import { toJson } from './json.js';

/** An export with the URI that leads to it, if one does. */
export interface Described {
  readonly description: ExportDescription;
  readonly uri: string | undefined;
}

/** The exports of a server as nbdinfo lays them out, with its names for the fields. */
export function asText(exports: readonly Described[]): string {
  const [first] = exports;
  if (first === undefined) return 'no exports\n';
  const { protocol, tls, structuredReplies, extendedHeaders } = first.description;
  const packets = extendedHeaders ? 'extended' : structuredReplies ? 'structured' : 'simple';
  const lines = [
    `protocol: ${NBDINFO_PROTOCOL[protocol]} ${tls ? 'with' : 'without'} TLS, using ${packets} packets`,
    ...exports.flatMap(exportLines),
  ];
  return lines.map((line) => `${line}\n`).join('');
}

export function asJson(exports: readonly Described[]): string {
  const first = exports[0]?.description;
  return toJson({
    ...(first && {
      protocol: NBDINFO_PROTOCOL[first.protocol],
      TLS: first.tls !== undefined,
      structured: first.structuredReplies,
      extended: first.extendedHeaders,
    }),
    exports: exports.map((described) => ({
      'export-name': nameOf(described),
      ...fieldsOf(described),
      'export-size': described.description.size,
      'export-size-str': exactSize(described.description.size),
    })),
  });
}

/** Bytes in the largest unit that leaves no fraction: `1M`, `2075312K`, `513`. */
export function exactSize(size: bigint): string {
  let [rest, unit] = [size, 0];
  while (rest !== 0n && rest % 1024n === 0n && unit < UNITS.length - 1)
    [rest, unit] = [rest / 1024n, unit + 1];
  return `${rest}${UNITS[unit]}`;
}

const UNITS = ['', 'K', 'M', 'G', 'T', 'P', 'E'];

const NBDINFO_PROTOCOL = {
  oldstyle: 'oldstyle',
  newstyle: 'newstyle',
  'fixed-newstyle': 'newstyle-fixed',
} as const;

function exportLines(described: Described): string[] {
  const { size } = described.description;
  const lines = [
    `export=${JSON.stringify(nameOf(described))}:`,
    `\texport-size: ${size} (${formatSize(size)})`,
  ];
  for (const [name, value] of Object.entries(fieldsOf(described))) {
    if (Array.isArray(value)) lines.push(`\t${name}:`, ...value.map((item) => `\t\t${printable(item)}`));
    else lines.push(`\t${name}: ${printable(String(value))}`);
  }
  return lines;
}

function fieldsOf({
  description: described,
  uri,
}: Described): Record<string, string | boolean | number | string[]> {
  const can = featuresOf(described.flags);
  const { description, contexts, blockSize, blockSizeAdvertised } = described;
  return {
    ...(description !== undefined && description !== '' && { description }),
    ...(uri !== undefined && { uri }),
    ...(contexts.length > 0 && { contexts: [...contexts] }),
    is_rotational: can.rotational,
    is_read_only: can.readOnly,
    can_block_status_payload: can.blockStatusPayload,
    can_cache: can.cache,
    can_df: can.df,
    can_fast_zero: can.fastZero,
    can_flush: can.flush,
    can_fua: can.fua,
    can_multi_conn: can.multiConn,
    can_trim: can.trim,
    can_zero: can.zero,
    ...(blockSizeAdvertised && {
      block_size_minimum: blockSize.minimum,
      block_size_preferred: blockSize.preferred,
      block_size_maximum: blockSize.maximum,
    }),
  };
}

function nameOf({ description: { canonicalName, exportName } }: Described): string {
  return canonicalName ?? exportName;
}

/** A server's words must not move the cursor of a terminal. */
function printable(text: string): string {
  return text.replace(
    /\p{Cc}/gu,
    (character) => `\\x${character.charCodeAt(0).toString(16).padStart(2, '0')}`,
  );
}

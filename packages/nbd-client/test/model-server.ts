import {
  Command,
  CommandFlag,
  encodeBlockStatusHeader,
  encodeExtendedBlockStatusHeader,
  encodeExtendedExtent,
  encodeExtent,
  encodeOffsetHole,
  ErrorValue,
  ReplyType,
  type Request,
} from '@nbd/protocol';
import type { ScriptedServer, Served } from './scripted-server.js';

export interface ModelOptions extends Served {
  /** Replies come in pieces of at most this many bytes, the last ones first; in one piece if not given. */
  readonly piece?: number;
  /** Extents are told in ranges of this many bytes, the first ones only. */
  readonly extentsPerReply?: number;
}

type Received = Awaited<ReturnType<ScriptedServer['request']>>;

/** Serves bytes honestly until the client leaves. What it was asked is kept in `requests`. */
export async function serveModel(
  server: ScriptedServer,
  disk: Uint8Array,
  options: ModelOptions = {},
  requests: Received[] = [],
): Promise<void> {
  await server.handshake({ size: BigInt(disk.length), ...options });
  for (;;) {
    const request = await server.request();
    requests.push(request);
    if (request.command === Command.DISC) {
      server.end();
      return;
    }
    answer(server, disk, request, options);
  }
}

/** Answers one request. */
export function answer(
  server: ScriptedServer,
  disk: Uint8Array,
  request: Received,
  options: ModelOptions = {},
): void {
  const start = Number(request.offset);
  const end = start + Number(request.length);
  switch (request.command) {
    case Command.READ:
      if (server.structured || server.extended) sendPieces(server, disk, request, options.piece);
      else server.simpleReply(request.cookie, 0, disk.slice(start, end));
      return;
    case Command.WRITE:
      disk.set(request.payload, start);
      break;
    case Command.WRITE_ZEROES:
    case Command.TRIM:
      disk.fill(0, start, end);
      break;
    case Command.BLOCK_STATUS:
      sendExtents(server, disk, request, options.extentsPerReply ?? Infinity);
      return;
    case Command.FLUSH:
    case Command.CACHE:
      break;
    default:
      server.error(request, ErrorValue.EINVAL, 'no such command');
      return;
  }
  if (server.extended) server.chunk(request, ReplyType.NONE);
  else server.simpleReply(request.cookie);
}

/** The data in pieces from the end to the start, with holes where it is zero. */
function sendPieces(server: ScriptedServer, disk: Uint8Array, request: Request, piece = Infinity): void {
  const start = Number(request.offset);
  const length = Number(request.length);
  const size = (request.flags & CommandFlag.DF) !== 0 ? length : Math.min(piece, length);
  for (let at = Math.floor((length - 1) / size) * size; at >= 0; at -= size) {
    const bytes = disk.slice(start + at, start + Math.min(at + size, length));
    const flags = at === 0 ? 1 : 0;
    const offset = BigInt(start + at);
    if (size < length && bytes.every((byte) => byte === 0)) {
      const hole = new Uint8Array(12);
      encodeOffsetHole(hole, 0, offset, bytes.length);
      server.chunk(request, ReplyType.OFFSET_HOLE, hole, flags);
    } else server.data(request, offset, bytes, flags);
  }
}

/** Unit of the extents that a model server tells of. */
export const EXTENT_UNIT = 512;

function sendExtents(server: ScriptedServer, disk: Uint8Array, request: Request, most: number): void {
  const extents = extentsOf(disk, Number(request.offset), Number(request.offset + request.length)).slice(
    0,
    most,
  );
  if (server.extended) {
    const payload = new Uint8Array(8 + 16 * extents.length);
    encodeExtendedBlockStatusHeader(payload, 0, 7, extents.length);
    for (const [index, { length, flags }] of extents.entries()) {
      encodeExtendedExtent(payload, 8 + 16 * index, BigInt(length), BigInt(flags));
    }
    server.chunk(request, ReplyType.BLOCK_STATUS_EXT, payload);
    return;
  }
  const payload = new Uint8Array(4 + 8 * extents.length);
  encodeBlockStatusHeader(payload, 0, 7);
  for (const [index, { length, flags }] of extents.entries()) {
    encodeExtent(payload, 4 + 8 * index, BigInt(length), flags);
  }
  server.chunk(request, ReplyType.BLOCK_STATUS, payload);
}

/** The extents of a range, alike ones merged: units of zeroes are holes. */
export function extentsOf(disk: Uint8Array, start: number, end: number): { length: number; flags: number }[] {
  const extents: { length: number; flags: number }[] = [];
  for (let at = start; at < end;) {
    const unit = at - (at % EXTENT_UNIT);
    const next = Math.min(unit + EXTENT_UNIT, end);
    const flags = disk.subarray(unit, unit + EXTENT_UNIT).every((byte) => byte === 0) ? 3 : 0;
    const last = extents.at(-1);
    if (last?.flags === flags) last.length += next - at;
    else extents.push({ length: next - at, flags });
    at = next;
  }
  return extents;
}

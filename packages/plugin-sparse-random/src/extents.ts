import { ExtentFlag } from '@nbd/protocol';
import type { Awaitable, ExtentSink } from '@nbd/protocol';
import { blockAt, blockFrom, offsetOf } from './blocks.js';
import type { DiskMap } from './map.js';

/** Blocks that are enough for one query, 8 GiB of disk: at most 2 ms of work. */
const BLOCKS_PER_QUERY = 2 ** 21;

const DATA = 0;
const HOLE = ExtentFlag.HOLE | ExtentFlag.ZERO;

/** Describes the extents from `offset` on, each as long as it is within `length` and the bound on the work. */
export function describeExtents(
  map: DiskMap,
  offset: bigint,
  length: bigint,
  sink: ExtentSink,
  signal: AbortSignal | undefined,
): Awaitable<void> {
  const first = blockAt(offset);
  let start = offset;
  let end = offset;
  let flags = DATA;
  let wanted = true;
  const addExtent = () => {
    if (wanted && end > start) wanted = sink.add(end - start, flags);
    start = end;
  };

  const visit = (data: boolean, _block: number, endBlock: number) => {
    const pieceFlags = data ? DATA : HOLE;
    if (pieceFlags !== flags) addExtent();
    flags = pieceFlags;
    const pieceEnd = offsetOf(endBlock);
    end = pieceEnd < offset + length ? pieceEnd : offset + length;
    return wanted && endBlock - first < BLOCKS_PER_QUERY;
  };
  const visited = map.visit(first, blockFrom(offset + length), visit, signal);
  if (visited instanceof Promise) return visited.then(addExtent);
  addExtent();
}

import type { ExportInfo } from '@nbd/plugin';
import type { Awaitable, BlockDevice } from '@nbd/protocol';
import type { System } from './system/index.js';

/** Where disks come from: one file, or a directory of them. */
export interface Source {
  /** Undefined if there is one disk, which goes by any name. */
  exports(): Awaitable<readonly ExportInfo[] | undefined>;
  open(exportName: string): Awaitable<BlockDevice>;
  /** See `Plugin.twin`. */
  twin(): readonly string[] | undefined;
  close(): Awaitable<void>;
}

export interface SourceOptions {
  readonly readOnly: boolean;
  readonly lock: boolean;
  readonly system: System | undefined;
}

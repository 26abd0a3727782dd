export { NbdClient } from './client.js';
export { openDisk } from './open-disk.js';
export type {
  CallOptions,
  DiskOptions,
  ExtentsOptions,
  ExtentsRange,
  ReadOptions,
  WriteOptions,
  ZeroOptions,
} from './options.js';
export { spawnServer, type CaptiveServer, type SpawnOptions } from './captive.js';
export { connect, type ConnectOptions } from './connect.js';
export type { Dial, DialOptions } from './dial.js';
export type { Reconnect } from './dispatcher.js';
export type { Extent } from './extents.js';
export type { Features } from './features.js';
export { info, listExports, type InfoOptions } from './info.js';
export { createReadStream, createWriteStream } from './node-streams.js';
export type { Wishes } from './session/handshake.js';
export type { ExportDescription, ListedExport } from './session/inquiries.js';
export type { Terms } from './session/terms.js';
export type { ReadStreamOptions } from './stream-reader.js';
export type { WriteStreamOptions } from './stream-writer.js';
export type { Target, TargetOptions } from './target.js';
export type { WindowLimits } from './window.js';
export { isNbdError, NbdError } from '@nbd/protocol';

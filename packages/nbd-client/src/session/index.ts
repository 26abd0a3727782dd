export { NbdClient } from '../client.js';
export { openDisk } from '../open-disk.js';
export type {
  CallOptions,
  DiskOptions,
  ExtentsOptions,
  ExtentsRange,
  ReadOptions,
  WriteOptions,
  ZeroOptions,
} from '../options.js';
export { describeExportOf, listExportsOf, type InquiryOptions } from '../inquire.js';
export type { Dial, DialOptions } from '../dial.js';
export type { Reconnect } from '../dispatcher.js';
export type { Extent } from '../extents.js';
export type { Features } from '../features.js';
export type { WindowLimits } from '../window.js';
export type { Wishes } from './handshake.js';
export type { ExportDescription, ListedExport } from './inquiries.js';
export type { Terms } from './terms.js';

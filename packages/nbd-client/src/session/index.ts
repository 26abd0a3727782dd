export {
  NbdClient,
  openDisk,
  type CallOptions,
  type DiskOptions,
  type ExtentsOptions,
  type ExtentsRange,
  type ReadOptions,
  type WriteOptions,
  type ZeroOptions,
} from '../client.js';
export { describeExportOf, listExportsOf, type InquiryOptions } from '../inquire.js';
export type { Dial, DialOptions } from '../dial.js';
export type { Reconnect } from '../dispatcher.js';
export type { Extent } from '../extents.js';
export type { Features } from '../features.js';
export type { WindowLimits } from '../window.js';
export type { Wishes } from './handshake.js';
export type { ExportDescription, ListedExport } from './inquiries.js';
export type { Terms } from './terms.js';

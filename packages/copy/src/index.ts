export { checksum, type ChecksumAlgorithm, type ChecksumOptions } from './checksum/checksum.js';
export { verify, type VerifyOptions } from './verify.js';
export { copyStream, type ByteSource } from './engine/copy-stream.js';
export { copy } from './engine/copy.js';
export type { CopyOptions, Progress, StreamOptions } from './engine/options.js';
export type { ScanOptions } from './engine/scan.js';
export { copyResumable, type ResumableOptions } from './resume/resumable.js';
export { readState, removeState, type Side, type State } from './resume/state-file.js';

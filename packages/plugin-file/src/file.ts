export { toNbdError } from './errors.js';
export { FileDisk } from './file-disk.js';
export { lockFile, openFile, type OpenFile, type OpenOptions } from './open-file.js';

import { boolean, definePlugin, path } from '@nbd/plugin';
import { NbdError } from '@nbd/protocol';
import { directory } from './directory.js';
import { singleFile } from './single-file.js';
import { loadSystem } from './system/index.js';

/** A file or block device as a disk, sparse both ways: holes are told, zeroes and what is trimmed become holes. */
export default definePlugin({
  name: 'file',
  description: 'A file or block device as a disk, or all files of a directory',
  parameters: {
    file: path({ positional: true, help: 'the file or block device' }),
    dir: path({ help: 'a directory: each file in it is an export of its name' }),
    lock: boolean({ default: true, help: 'refuse files that another program has locked' }),
  },
  examples: ['plugin-file disk.img', 'plugin-file dir=/var/lib/images lock=off'],

  setup({ file, dir, lock }, { log, readOnly }) {
    if ((file === undefined) === (dir === undefined)) {
      throw new NbdError('EINVAL', 'give either file=PATH or dir=PATH');
    }
    const { system, missing } = loadSystem();
    if (system === undefined) log.warn(`${missing}: ${WITHOUT_SYSTEM}`);
    const options = { readOnly, lock, system };
    return file === undefined ? directory(dir!, options) : singleFile(file, options);
  },

  exports: (_connection, source) => source.exports(),
  open: ({ exportName }, source) => source.open(exportName),
  twin: (source) => source.twin(),
  close: (source) => source.close(),
});

const WITHOUT_SYSTEM =
  'holes are not told, nothing is trimmed or locked, and files over 8 PiB are served read-only';

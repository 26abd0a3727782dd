// `npm start [-- PLUGIN …]`: sets up, builds, and serves a disk in this process, so that signals reach the server.
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { ROOT, setUp } from './set-up.js';

setUp();

const args = process.argv.slice(2);
// npm runs scripts in the repository; paths on the command line start where the user stands.
process.chdir(args.length === 0 ? ROOT : (process.env['INIT_CWD'] ?? process.cwd()));

if (args.length === 0) {
  args.push('plugin-floppy', 'examples/floppy');
  console.error(`
The folder examples/floppy becomes a disk. In another terminal, try:

  nbdinfo nbd://localhost              what it is
  nbdcopy nbd://localhost disk.img     all of it, in a file
  qemu-img info nbd://localhost        what qemu thinks of it
  guestfish --ro --format=raw -a nbd://localhost -m /dev/sda1 ll /

Serve a folder of yours with

  npm start -- plugin-floppy FOLDER

and see all options with npm start -- --help. Ctrl-C ends the server.
`);
}

const bin = join(ROOT, 'packages', 'nbd-server', 'bin', 'nbd-serve.js');
process.argv = [process.execPath, bin, ...args];
await import(pathToFileURL(bin).href);

import { parseArgs } from 'node:util';
import { isNbdError, NbdError, type BlockDevice } from '@nbd/protocol';
import { diskToData } from './disk-to-data.js';

const USAGE = `Usage: nbd-disk2data [--force] FILE | URI

Prints the disk as a string that plugin-data and nbdkit's data plugin serve again:

  nbd-serve plugin-data "$(nbd-disk2data disk.img)"

  -f, --force   a disk that is not mostly empty too
  -h, --help    this
`;

/** Runs the program, and sets the exit code of the process. */
export async function main(args: readonly string[]): Promise<void> {
  const line = readCommandLine(args);
  if (typeof line === 'string') {
    process.stderr.write(`nbd-disk2data: ${line}\n${USAGE}`);
    process.exitCode = 2;
  } else if (line.help) {
    process.stdout.write(USAGE);
  } else {
    await print(line.disk, line.force);
  }
}

/** What is asked for, or what is wrong with it. */
function readCommandLine(args: readonly string[]): { help: boolean; force: boolean; disk: string } | string {
  const options = {
    force: { type: 'boolean', short: 'f', default: false },
    help: { type: 'boolean', short: 'h', default: false },
  } as const;
  try {
    const { values, positionals } = parseArgs({ args: [...args], options, allowPositionals: true });
    const [disk, another] = positionals;
    if (values.help) return { ...values, disk: '' };
    if (disk === undefined) return 'which disk?';
    if (another !== undefined) return `only one disk at a time, not also ${another}`;
    return { ...values, disk };
  } catch (error) {
    return (error as Error).message;
  }
}

async function print(disk: string, force: boolean): Promise<void> {
  try {
    const opened = await openDisk(disk);
    try {
      await write(await diskToData(opened.device, { force }));
    } finally {
      await opened.close();
    }
  } catch (error) {
    const message = isNbdError(error) ? error.message : String((error as Error).stack);
    const advice =
      isNbdError(error) && error.code === 'EFBIG' && !force ? '. --force prints it all the same' : '';
    process.stderr.write(`nbd-disk2data: ${disk}: ${message}${advice}\n`);
    process.exitCode = 1;
  }
}

/** Settles once it is written. Who reads may leave early, as `head` does. */
function write(text: string): Promise<void> {
  return new Promise((resolve, reject) => {
    process.stdout.on('error', () => undefined);
    process.stdout.write(text, (error?: NodeJS.ErrnoException | null) => {
      if (error === undefined || error === null || error.code === 'EPIPE') resolve();
      else reject(new NbdError('EIO', `standard output: ${error.message}`, { cause: error }));
    });
  });
}

interface OpenDisk {
  readonly device: BlockDevice;
  readonly close: () => Promise<void>;
}

const URI = /^nbds?(\+[a-z]+)?:/i;

/** Who opens it is loaded only now: the plugin needs neither. */
async function openDisk(disk: string): Promise<OpenDisk> {
  if (URI.test(disk)) {
    const { connect } = await import('@nbd/client');
    const client = await connect(disk, { allowUriFiles: true });
    return { device: client, close: () => client.close() };
  }
  // The plugin that serves files knows where they have holes.
  const { default: file } = await import('@nbd/plugin-file');
  const plugin = await file.create({ file: disk }, { readOnly: true });
  const device = await plugin.open({ readOnly: true, exportName: '' });
  const close = async (): Promise<void> => {
    await device.close?.();
    await plugin.close?.();
  };
  return { device, close };
}

import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { onTestFinished } from 'vitest';
import type { BlockDevice } from '@nbd/protocol';
import floppy from '../src/index.js';
import { readPartition, readVolume, type FatVolume, type ReadBytes } from './fat-reader.js';

/** A fresh directory with these files; a path that ends with a slash is a directory. It goes with the test. */
export function directoryWith(files: Readonly<Record<string, string | Uint8Array>> = {}): string {
  const root = mkdtempSync(join(tmpdir(), 'floppy-'));
  onTestFinished(() => {
    rmSync(root, { recursive: true, force: true });
  });
  for (const [path, content] of Object.entries(files)) {
    mkdirSync(join(root, path.endsWith('/') ? path : dirname(path)), { recursive: true });
    if (!path.endsWith('/')) writeFileSync(join(root, path), content);
  }
  return root;
}

export interface Disk {
  readonly device: BlockDevice;
  /** What the plugin has warned of. */
  readonly warnings: readonly string[];
  readonly bytes: ReadBytes;
  /** Closes the plugin, which is otherwise done with the test. */
  close(): Promise<void>;
}

/** The disk of these words, as on a command line. It is closed with the test. */
export async function diskOf(...words: readonly string[]): Promise<Disk> {
  const warnings: string[] = [];
  const log = {
    warn: (message: string) => warnings.push(message),
    info: () => undefined,
    debug: () => undefined,
  };
  const plugin = await floppy.fromArguments(words, { log });
  const device = await plugin.open({ readOnly: false, exportName: '' });
  let closed = false;
  const close = async () => {
    if (closed) return;
    closed = true;
    await device.close?.();
    await plugin.close?.();
  };
  onTestFinished(close);
  return { device, warnings, bytes: (offset, length) => read(device, offset, length), close };
}

/** Reads into a buffer that is not zero before. */
export async function read(device: BlockDevice, offset: number, length: number): Promise<Uint8Array> {
  const into = new Uint8Array(length).fill(0xee);
  await device.read(BigInt(offset), into);
  return into;
}

export interface Extent {
  readonly length: bigint;
  readonly flags: number;
}

export function extentsOf(device: BlockDevice): Extent[] {
  const extents: Extent[] = [];
  void device.extents!(0n, device.size, { add: (length, flags) => extents.push({ length, flags }) > 0 });
  return extents;
}

/** The volume on the disk, read by its bytes and checked; with `base`, where it starts on the disk. */
export async function volumeOf({ bytes, device }: Disk, bare = false): Promise<FatVolume & { base: number }> {
  const { offset: base, length } = bare
    ? { offset: 0, length: Number(device.size) }
    : await readPartition(bytes);
  const volume = await readVolume((offset, count) => bytes(base + offset, count));
  if (volume.sectors * 512 > length) throw new Error('the volume is larger than its partition');
  return { ...volume, base };
}

/** What setting the plugin up with these words says is wrong. */
export async function errorOf(...words: readonly string[]): Promise<string> {
  try {
    await diskOf(...words);
  } catch (error) {
    if (error instanceof Error && error.name === 'NbdError') return error.message;
    throw error;
  }
  throw new Error(`${words.join(' ')} is no error`);
}

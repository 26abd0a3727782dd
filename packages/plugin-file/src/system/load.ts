import { createRequire } from 'node:module';
import type * as Koffi from 'koffi';
import { linuxSystem } from './linux.js';
import type { System } from './system.js';

/** The system calls, or why there are none, such as `koffi is not installed`. */
export type LoadedSystem =
  | { readonly system: System; readonly missing?: undefined }
  | { readonly system?: undefined; readonly missing: string };

/** Architectures whose C types and constants are those of `linux.ts`. */
const ARCHITECTURES: readonly string[] = ['x64', 'arm64', 'riscv64', 'loong64'];

let loaded: LoadedSystem | undefined;

/**
 * The system calls of this machine. They come through koffi, an optional dependency, which is loaded (9 ms) by the first
 * call of this.
 *
 * ```ts
 * const { system, missing } = loadSystem();
 * if (system) console.log(system.seekHole(fd, 0n));
 * ```
 */
export function loadSystem(): LoadedSystem {
  loaded ??= load();
  return loaded;
}

function load(): LoadedSystem {
  if (process.platform !== 'linux') return { missing: `no system calls are known for ${process.platform}` };
  if (!ARCHITECTURES.includes(process.arch))
    return { missing: `no system calls are known for ${process.arch}` };
  let koffi: typeof Koffi;
  try {
    koffi = createRequire(import.meta.url)('koffi') as typeof Koffi;
  } catch (error) {
    return { missing: whyNotLoaded(error) };
  }
  return { system: linuxSystem(koffi) };
}

function whyNotLoaded(error: unknown): string {
  const { code, message } = error as NodeJS.ErrnoException;
  if (code === 'MODULE_NOT_FOUND' && message.includes("'koffi'"))
    return 'koffi is not installed (npm install koffi)';
  return `koffi can't be loaded (${message.split('\n', 1)[0]!})`;
}

import { createRequire } from 'node:module';
import type * as Koffi from 'koffi';

/**
 * System calls of Linux that Node has not, and `malloc_trim`, which is glibc's alone. `fd` is a descriptor. What fails
 * returns -1, and `errno` says why.
 * Sources: the man pages of each, and include/uapi/asm-generic/{socket,fcntl}.h of Linux, as on all architectures that
 * Node is for.
 */
export interface Kernel {
  setsockopt(fd: number, level: number, option: number, value: Int32Array, length: number): number;
  pipe2(fds: Int32Array, flags: number): number;
  fcntl(fd: number, command: number, argument: number): number;
  /** @param position where in the file, advanced by what was moved; null for a pipe or socket */
  splice(
    from: number,
    position: BigInt64Array | null,
    to: number,
    toPosition: null,
    length: number,
    flags: number,
  ): number;
  malloc_trim?(pad: number): number;
  errno(): number;
}

let kernel: Kernel | undefined;
let isLoaded = false;

/** Undefined where the system is not Linux or koffi, an optional peer dependency, is not installed. */
export function loadKernel(): Kernel | undefined {
  if (!isLoaded) {
    isLoaded = true;
    kernel = process.platform === 'linux' ? load() : undefined;
  }
  return kernel;
}

function load(): Kernel | undefined {
  try {
    const koffi = createRequire(import.meta.url)('koffi') as typeof Koffi;
    const c = koffi.load(null);
    return {
      setsockopt: c.func(
        'int setsockopt(int fd, int level, int option, const void *value, uint32_t length)',
      ) as Kernel['setsockopt'],
      pipe2: c.func('int pipe2(void *fds, int flags)') as Kernel['pipe2'],
      // Variadic in C, which makes no difference to an int on 64-bit architectures.
      fcntl: c.func('int fcntl(int fd, int command, intptr_t argument)') as Kernel['fcntl'],
      splice: c.func(
        'intptr_t splice(int from, void *position, int to, void *toPosition, size_t length, unsigned int flags)',
      ) as Kernel['splice'],
      ...onlyInGlibc(c),
      errno: () => koffi.errno(),
    };
  } catch {
    return undefined;
  }
}

function onlyInGlibc(c: Koffi.LibraryHandle): Pick<Kernel, 'malloc_trim'> {
  try {
    return { malloc_trim: c.func('int malloc_trim(size_t pad)') as NonNullable<Kernel['malloc_trim']> };
  } catch {
    return {};
  }
}

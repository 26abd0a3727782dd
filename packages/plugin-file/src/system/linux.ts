import { getSystemErrorMap } from 'node:util';
import type * as Koffi from 'koffi';
import { OffThread, type NativeFunction } from './off-thread.js';
import type { System } from './system.js';

// Linux: include/uapi/linux/{fs,falloc,fcntl}.h and asm-generic/fcntl.h, as they are on the architectures of `load.ts`.
const SEEK_END = 2;
const SEEK_DATA = 3;
const SEEK_HOLE = 4;
const RWF_NOWAIT = 8;
const FALLOC_FL_KEEP_SIZE = 1;
const FALLOC_FL_PUNCH_HOLE = 2;
const FALLOC_FL_ZERO_RANGE = 16;
const BLKDISCARD = 0x1277;
const SYS_CACHESTAT = 451; // asm-generic/unistd.h, the same on all of them
const F_OFD_SETLK = 37;
const F_RDLCK = 0;
const F_WRLCK = 1;

/** Where the page begins that has the largest position of all: a small one, or a large one. */
const LAST_PAGE = 2n ** 63n - 4096n;
const LAST_LARGE_PAGE = 2n ** 63n - 2n ** 21n;

/** The system calls of 64-bit Linux, out of the C library that Node itself has. */
export function linuxSystem(koffi: typeof Koffi): System {
  const c = koffi.load(null);
  const lseek = c.func('int64_t lseek(int fd, int64_t offset, int whence)');
  const preadv2 = c.func('int64_t preadv2(int fd, void *iov, int count, int64_t offset, int flags)');
  const pwrite = c.func('int64_t pwrite(int fd, const void *from, size_t length, int64_t offset)');
  const ftruncate = c.func('int ftruncate(int fd, int64_t length)');
  const fallocate = c.func('int fallocate(int fd, int mode, int64_t offset, int64_t length)');
  // Variadic in C, which makes no difference on these architectures, and koffi calls such off the thread too.
  const ioctl = c.func('int ioctl(int fd, unsigned long request, void *argument)');
  const fcntl = c.func('int fcntl(int fd, int command, void *argument)');
  const cachestat = c.func(
    'long syscall(long number, int fd, const void *range, void *result, unsigned int flags)',
  );
  const page = BigInt(c.func('int getpagesize()')() as number);
  const offThread = new OffThread();
  const vector = new BigUint64Array(2);
  const oneByte = new Uint8Array(1);
  const cached = new BigUint64Array(5); // struct cachestat, of which the first counts the pages in memory

  const errorName = (): string => getSystemErrorMap().get(-koffi.errno())?.[0] ?? `errno ${koffi.errno()}`;

  function failure(syscall: string): NodeJS.ErrnoException {
    const [code, errno] = [errorName(), -koffi.errno()];
    // Node's own text speaks of sockets.
    const message = code === 'ENOTSUP' ? 'operation not supported' : getSystemErrorMap().get(errno)?.[1];
    return Object.assign(new Error(`${code}: ${message ?? 'unknown error'}, ${syscall}`), {
      errno,
      code,
      syscall,
    });
  }

  function seek(fd: number, from: bigint, whence: number): bigint | undefined {
    const result = lseek(fd, from, whence) as number | bigint;
    if (result >= 0) return BigInt(result);
    // tmpfs counts up to the end of the page, which may be 2^63 and then wraps.
    if (result !== -1) return seek(fd, 0n, SEEK_END);
    if (errorName() === 'ENXIO') return undefined;
    throw failure('lseek');
  }

  function seekData(fd: number, from: bigint): bigint | undefined {
    const data = seek(fd, from, SEEK_DATA);
    if (data !== undefined) return data;
    // Where a file ends in the last page of all, tmpfs overlooks what that page has (Linux 6.18).
    const end = seek(fd, 0n, SEEK_END)!;
    if (end <= LAST_PAGE || from >= end) return undefined;
    return from < LAST_LARGE_PAGE ? LAST_LARGE_PAGE : from;
  }

  /** A call off the thread does not bring its error number back: one that failed is made again, here. */
  async function call(name: string, func: NativeFunction, ...values: unknown[]): Promise<number> {
    let result = await offThread.call(func, values);
    while (result < 0) {
      result = func(...values) as number;
      if (result < 0 && errorName() !== 'EINTR') throw failure(name);
    }
    return result;
  }

  async function allocate(fd: number, mode: number, position: bigint, length: bigint): Promise<void> {
    await call('fallocate', fallocate, fd, mode, position, length);
  }

  function readCached(fd: number, into: Uint8Array, position: bigint): number {
    vector[0] = koffi.address(into);
    vector[1] = BigInt(into.length);
    const count = preadv2(fd, vector, 1, position, RWF_NOWAIT) as number;
    if (count >= 0) return count;
    if (errorName() === 'EAGAIN' || errorName() === 'EINTR') return 0;
    throw failure('preadv2');
  }

  return {
    seekData,
    seekHole: (fd, from) => seek(fd, from, SEEK_HOLE) ?? from,
    seekEnd: (fd) => seek(fd, 0n, SEEK_END) ?? 0n,

    readCached,
    isCached(fd, position, length) {
      const last = position + BigInt(length) - 1n;
      vector[0] = position;
      vector[1] = BigInt(length);
      if (cachestat(SYS_CACHESTAT, fd, vector, cached, 0) !== 0) throw failure('cachestat');
      if (cached[0]! < last / page - position / page + 1n) return false;
      // Pages count from when their reading begins. It goes on in order: where the last one has been read, all have.
      return readCached(fd, oneByte, last) === 1;
    },
    write: (fd, from, position) => call('pwrite', pwrite, fd, from, from.length, position),

    async truncate(fd, size) {
      await call('ftruncate', ftruncate, fd, size);
    },

    punchHole: (fd, position, length) =>
      allocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, position, length),
    zeroRange: (fd, position, length) =>
      allocate(fd, FALLOC_FL_ZERO_RANGE | FALLOC_FL_KEEP_SIZE, position, length),
    allocate: (fd, position, length) => allocate(fd, FALLOC_FL_KEEP_SIZE, position, length),
    async discard(fd, position, length) {
      await call('ioctl', ioctl, fd, BLKDISCARD, BigUint64Array.of(position, length));
    },

    lock(fd, kind) {
      if (fcntl(fd, F_OFD_SETLK, wholeFile(kind === 'shared' ? F_RDLCK : F_WRLCK)) === 0) return true;
      if (errorName() === 'EAGAIN' || errorName() === 'EACCES') return false;
      throw failure('fcntl');
    },
  };
}

/** `struct flock` of 64-bit Linux: a lock from 0 to the end, wherever it will be. */
function wholeFile(type: number): Uint8Array {
  const lock = new Uint8Array(32);
  new DataView(lock.buffer).setInt16(0, type, true); // l_type; all the others are 0
  return lock;
}

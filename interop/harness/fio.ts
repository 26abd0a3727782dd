/** Arguments for fio: four jobs write to parts of a disk that are their own, and read back what they wrote. */
export function verification(uri: string, pattern: string): string[] {
  return [
    ...[
      '--name=verify',
      '--ioengine=nbd',
      `--uri=${uri}`,
      `--rw=${pattern}`,
      '--bsrange=512-128k',
      '--bs_unaligned',
    ],
    ...['--iodepth=16', '--numjobs=4', '--size=32m', '--offset_increment=64m', '--fsync=64'],
    ...['--verify=crc32c', '--verify_fatal=1', '--do_verify=1', '--verify_state_save=0', '--randseed=1'],
  ];
}

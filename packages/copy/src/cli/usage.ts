export const USAGE = `nbd-copy copies disks: fast, sparse, and never quietly wrong.

  nbd-copy [options] SOURCE DESTINATION

  nbd-copy nbd://server/export disk.raw                from a server to a file
  nbd-copy disk.raw nbd://server/export                and back
  nbd-copy nbd://localhost - | hexdump -C              to standard output
  nbd-copy [ qemu-nbd -r -f qcow2 disk.qcow2 ] disk.raw
  cat disk1 disk2 | nbd-copy - [ qemu-nbd -f qcow2 out.qcow2 ]
  nbd-copy 'plugin:sparse-random?size=64G&seed=1' null:
  nbd-copy --resume copy.state --verify nbd://server/export disk.raw
  nbd-copy --checksum disk.raw null:

SOURCE and DESTINATION
  nbd://host:port/export       an NBD server; nbds:// with TLS; nbd+unix:///export?socket=PATH
  PATH                         a file, block device, pipe, Unix socket or character device
  -                            standard input or output
  [ COMMAND … ]                a server that is started for the copy (qemu-nbd, nbdkit, nbd-serve …)
  plugin:NAME?key=value&…      a plugin of nbd-serve, in this process
  null:                        as destination: nothing is kept

A file has the name DESTINATION.partial until all of it is copied.

Zeroes
      --allocated              a destination with all its space allocated
  -S, --sparse N               look for zeroes in blocks of N bytes (4K); 0 does not
      --destination-is-zero    the destination reads as zeroes already; also --target-is-zero
      --no-extents             read everything, whatever the source says of its holes

Speed
  -C, --connections N          to a server that allows several (4, or 2 where
                               there are only Unix sockets)
  -R, --requests N             under way on each connection (64)
      --request-size N         bytes of each, 4K to 32M (1M, or 512K from a file or
                               plugin to a server on this machine)
      --queue-size N           bytes under way on each connection (its share of 64M,
                               or of 4M from a file or plugin to such a server)
      --synchronous            one request at a time, in order

The end
      --flush, --no-flush      have the destination on stable storage before the end; so by default

      --verify                 then compare both sides, and fail where they differ
      --checksum               then print a checksum of what was copied, which skips zeroes;
                               with null: as destination, of the source
      --checksum=sha256        the SHA-256 of all bytes
      --resume STATE           note in the file STATE how far the copy is; after an interruption,
                               the same command goes on from there

Messages
  -p, --progress               a bar; by default where messages go to a terminal
      --progress=json          a line of JSON twice a second, on standard error
      --progress=FD            lines like 42/100, to a file descriptor
      --no-progress            nothing
  -v, --verbose                tell more
  -h, --help   -V, --version

Exit codes: 0 all is copied, 1 failed, 2 wrong usage, 130 interrupted (143: by SIGTERM).
`;

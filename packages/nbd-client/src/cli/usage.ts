export const USAGE = `nbd-info shows what an NBD server says of itself and its exports.

  nbd-info [--json] SERVER             all about one export
  nbd-info --list [--json] SERVER      all exports
  nbd-info --size SERVER               the size in bytes
  nbd-info --map[=CONTEXT] SERVER      which parts are data, holes or zeroes
           --totals                    …the sum of each kind
           --json
           --bar, --no-bar             …with a picture; by default where it is for a terminal
  nbd-info --can WHAT SERVER           exit code 0: yes, 2: no, 1: error; also --cannot
  nbd-info --is WHAT SERVER            likewise; also --isnt
  nbd-info --help | --version

SERVER is a URI or, in brackets, a command that starts a server:
  nbd://localhost/export    nbds://host:port/export    nbd+unix:///export?socket=PATH
  [ qemu-nbd -r -f qcow2 disk.qcow2 ]

WHAT is one of
  --can  block-status-payload cache connect df extended-headers fast-zero flush fua
         multi-conn read structured-reply trim write zero
  --is   read-only rotational tls

Examples:
  nbd-info nbd://localhost
  nbd-info --list --json nbd://localhost
  nbd-info --map --totals nbd+unix:///?socket=/tmp/sock
  nbd-info --can trim nbd://localhost && fstrim /mnt
  nbd-info --size [ qemu-nbd -r -f qcow2 disk.qcow2 ]
`;

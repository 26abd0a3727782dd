import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { connect } from 'node:net';
import { describe, expect, test } from 'vitest';
import {
  collect,
  describeWith,
  NBD_SERVE,
  run,
  serve,
  startChild,
  temporaryDirectory,
} from '../harness/index.js';

/** Runs `nbd-serve` to its end. */
function nbdServe(...args: readonly string[]) {
  return run(process.execPath, [NBD_SERVE, ...args], { anyCode: true });
}

describeWith(['nbdinfo', 'trixie:nbdinfo'], 'nbd-serve', () => {
  test.each(['nbdinfo', 'trixie:nbdinfo'])('%s finds it on a Unix socket', async (nbdinfo) => {
    await using server = await serve(['plugin-memory', '1M']);
    expect((await run(nbdinfo, ['--size', server.uri])).stdout).toBe('1048576\n');
  });

  test('is found on a free TCP port', async () => {
    await using server = await serve(['plugin-memory', '1M'], { tcp: true });
    expect(new URL(server.uri).port).not.toBe('0');
    expect((await run('nbdinfo', ['--size', server.uri])).stdout).toBe('1048576\n');
  });

  test('listens on the loopback addresses of both families unless told otherwise', async () => {
    await using directory = await temporaryDirectory();
    const { stdout } = await nbdServe(
      ...['--port', '0', '--pidfile', directory.file('pid'), 'plugin-memory', '1M', '--run'],
      'nbdinfo --size nbd://127.0.0.1:$port; nbdinfo --size "nbd://[::1]:$port"',
    );
    expect(stdout).toBe('1048576\n1048576\n');
  });

  test('serves an export under a name', async () => {
    await using server = await serve(['plugin-memory', '1M', '--exportname', 'scratch disk']);
    expect((await run('nbdinfo', ['--size', server.uri])).stdout).toBe('1048576\n');
    expect((await run('nbdinfo', ['--list', server.uri])).stdout).toContain('export="scratch disk"');
    const other = await run('nbdinfo', [`nbd+unix:///other?socket=${server.socket}`], { anyCode: true });
    expect(other.code).not.toBe(0);
  });

  test('lets nobody write when it is read-only', async () => {
    await using server = await serve(['--readonly', 'plugin-memory', '1M']);
    expect((await run('nbdinfo', ['--is', 'read-only', server.uri])).code).toBe(0);
    await using writable = await serve(['plugin-memory', '1M']);
    expect((await run('nbdinfo', ['--is', 'read-only', writable.uri], { anyCode: true })).code).toBe(2);
  });
});

describeWith(['nbdsh'], 'nbd-serve --single', () => {
  test('serves one client on its standard streams', async () => {
    const command = JSON.stringify([process.execPath, NBD_SERVE, '--single', 'plugin-memory', '1M']);
    const script = `
h.connect_command(${command})
h.pwrite(b"kept", 4096)
print(h.get_size(), h.pread(4, 4096))
h.shutdown()
`;
    expect((await run('nbdsh', ['-c', script])).stdout).toBe("1048576 bytearray(b'kept')\n");
  });
});

describeWith(['nbdsh'], 'nbd-serve by socket activation', () => {
  test('serves who has opened its socket, and ends when told', async () => {
    const command = JSON.stringify([process.execPath, NBD_SERVE, 'plugin-memory', '1M']);
    const script = `
h.connect_systemd_socket_activation(${command})
h.pwrite(b"kept", 4096)
print(h.get_size(), h.pread(4, 4096))
h.shutdown()
h.kill_subprocess(15)
`;
    expect((await run('nbdsh', ['-c', script])).stdout).toBe("1048576 bytearray(b'kept')\n");
  });

  test('serves on several sockets, of TCP as well', async () => {
    await using directory = await temporaryDirectory();
    const script = `
import os, socket, subprocess, sys
tcp = socket.socket(); tcp.bind(("127.0.0.1", 0)); tcp.listen()
unix = socket.socket(socket.AF_UNIX); unix.bind(${JSON.stringify(directory.file('socket'))}); unix.listen()
def pass_on():
    for target, source in ((13, tcp.fileno()), (14, unix.fileno())): os.dup2(source, target)
    for target in (3, 4): os.dup2(target + 10, target)
    os.environ.update(LISTEN_FDS="2", LISTEN_PID=str(os.getpid()))
child = os.fork()
if child == 0:
    pass_on()
    os.execv(${JSON.stringify(process.execPath)}, ["node", ${JSON.stringify(NBD_SERVE)}, "plugin-memory", "1M"])
h.connect_uri("nbd://127.0.0.1:%d" % tcp.getsockname()[1])
h.pwrite(b"kept", 4096)
other = nbd.NBD()
other.connect_unix(unix.getsockname())
print(other.pread(4, 4096))
h.shutdown()
other.shutdown()
os.kill(child, 15)
print(os.waitpid(child, 0)[1])
`;
    expect((await run('nbdsh', ['-c', script])).stdout).toBe("bytearray(b'kept')\n0\n");
  });
});

test('nbd-serve --exit-with-parent ends when its parent is killed', async () => {
  await using directory = await temporaryDirectory();
  const command = [
    ...[process.execPath, NBD_SERVE, '--exit-with-parent', '--unix', directory.file('socket')],
    ...['plugin-memory', '1M'],
  ].join(' ');
  const { child, ended } = startChild('sh', ['-c', `${command} & wait`]);
  const stderr = collect(child.stderr);
  await stderr.match(/serving/);
  child.kill('SIGKILL');
  // The streams that the server has inherited close when it has ended as well.
  await ended;
  expect(existsSync(directory.file('socket'))).toBe(false);
});

describe('nbd-serve --run', () => {
  test('tells the command where the disk is', async () => {
    await using directory = await temporaryDirectory();
    const socket = directory.file('socket');
    const { stdout, code } = await nbdServe(
      ...['--unix', socket, '--exportname', 'x', 'plugin-memory', '1M'],
      ...['--run', 'echo "$uri|$nbd|$port|$unixsocket|$exportname"'],
    );
    expect(stdout).toBe(`nbd+unix:///x?socket=${socket}|nbd:unix:${socket}:exportname=x||${socket}|x\n`);
    expect(code).toBe(0);
  });

  test("ends with the command's exit code, and leaves nothing behind", async () => {
    const { stdout, code } = await nbdServe(
      ...['--unix', '-', 'plugin-memory', '1M', '--run', 'echo "$unixsocket"; exit 7'],
    );
    expect(code).toBe(7);
    expect(stdout).toMatch(/^\/.+\n$/);
    expect(existsSync(stdout.trim())).toBe(false);
  });

  test('ends like the command when a signal ended that', async () => {
    const { code } = await nbdServe('--unix', '-', 'plugin-memory', '1M', '--run', 'kill -TERM $$');
    expect(code).toBe(128 + 15);
  });
});

describeWith(['nbdsh'], 'nbd-serve and signals', () => {
  test.each(['SIGINT', 'SIGTERM'] as const)('%s ends it and removes what it made', async (signal) => {
    await using server = await serve(['plugin-memory', '1M']);
    expect(await readFile(server.pidFile, 'utf8')).toBe(`${server.pid}\n`);
    server.signal(signal);
    expect((await server.ended).code).toBe(0);
    expect(existsSync(server.socket)).toBe(false);
    expect(existsSync(server.pidFile)).toBe(false);
  });

  test('a client that reads without end does not keep it from ending', async () => {
    await using server = await serve(['plugin-sparse-random', '1T']);
    const { child, ended } = startChild('nbdsh', [
      ...['-u', server.uri, '-c'],
      'import sys\nwhile True: h.pread(1 << 20, 0); print("read"); sys.stdout.flush()',
    ]);
    await once(child.stdout, 'data');
    server.signal('SIGTERM');
    expect((await server.ended).code).toBe(0);
    expect((await ended).code).not.toBe(0);
  });

  test('a client that says nothing does not keep it from ending', async () => {
    await using server = await serve(['plugin-memory', '1M']);
    const socket = connect(server.socket);
    await once(socket, 'data');
    server.signal('SIGTERM');
    await once(socket, 'close');
    expect((await server.ended).code).toBe(0);
  });

  test('a client that is killed while it reads leaves the others alone', async () => {
    await using server = await serve(['plugin-sparse-random', '1T']);
    const { child, ended } = startChild('nbdsh', [
      ...['-u', server.uri, '-c'],
      'import sys\nwhile True: h.pread(1 << 20, 0); print("read"); sys.stdout.flush()',
    ]);
    await once(child.stdout, 'data');
    child.kill('SIGKILL');
    await ended;
    const { stdout } = await run('nbdsh', ['-u', server.uri, '-c', 'print(len(h.pread(4096, 0)))']);
    expect(stdout).toBe('4096\n');
  });
});

test('a process with a server ends, whatever the grace time, when its clients have', async () => {
  // One that ends its side before it has all replies, and listens on.
  const script = `
    import { connect } from 'node:net';
    import { createServer } from '@nbd/server';
    import { Command, encodeClientFlags, encodeOption, encodeRequest, Option, REQUEST_SIZE } from '@nbd/protocol';
    const limits = { graceTime: 1e9, handshakeTime: 0 };
    const server = createServer({ device: { size: 1n << 20n, read: () => undefined }, limits });
    const { port } = await server.listen({ host: '127.0.0.1', port: 0 });
    const request = (command, length) => {
      const bytes = new Uint8Array(REQUEST_SIZE);
      encodeRequest(bytes, 0, { command, flags: 0, cookie: 0n, offset: 0n, length });
      return bytes;
    };
    const client = connect({ host: '127.0.0.1', port, allowHalfOpen: true });
    client.write(encodeClientFlags(1));
    client.write(encodeOption(Option.EXPORT_NAME));
    for (let i = 0; i < 10; i++) client.write(request(Command.READ, 1n << 20n));
    client.end(request(Command.DISC, 0n));
    setTimeout(() => client.resume(), 100);
    client.on('end', () => server.close().then(() => console.log(client.bytesRead)));
  `;
  const { stdout } = await run(process.execPath, ['--input-type=module', '-e', script], {
    cwd: import.meta.dirname,
    timeout: 10_000,
  });
  expect(Number(stdout)).toBeGreaterThan(10 << 20);
});

describe('nbd-serve exits with', () => {
  test.each([
    ['no plugin', []],
    ['an unknown option', ['--no-such-option', 'plugin-memory', '1M']],
    ['a port that is none', ['--port', '65536', 'plugin-memory', '1M']],
    ['an unknown parameter', ['plugin-memory', '1M', 'colour=red']],
    ['a missing parameter', ['plugin-memory']],
    ['a value that is no size', ['plugin-memory', '1 potato']],
  ])('2 and a message for %s', async (_what, args) => {
    const { code, stdout, stderr } = await nbdServe(...args);
    expect({ code, stdout }).toEqual({ code: 2, stdout: '' });
    expect(stderr).not.toBe('');
    expect(stderr).not.toMatch(/\n +at /);
  });

  test('1 and a message for a plugin that is not installed', async () => {
    const { code, stdout, stderr } = await nbdServe('--unix', '-', 'plugin-no-such-thing');
    expect({ code, stdout }).toEqual({ code: 1, stdout: '' });
    expect(stderr).toContain('plugin-no-such-thing');
    expect(stderr).not.toMatch(/\n +at /);
  });

  test('1 and a message that names the port when it is taken', async () => {
    await using server = await serve(['plugin-memory', '1M'], { tcp: true });
    const { port } = new URL(server.uri);
    const { code, stderr } = await nbdServe('--ipaddr', '127.0.0.1', '--port', port, 'plugin-memory', '1M');
    expect(code).toBe(1);
    expect(stderr).toContain(port);
    expect(stderr).not.toMatch(/\n +at /);
  });
});

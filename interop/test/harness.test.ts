import { existsSync } from 'node:fs';
import { writeFile } from 'node:fs/promises';
import { expect, test } from 'vitest';
import {
  certificates,
  describeWith,
  preSharedKeys,
  run,
  serveNbdkit,
  serveQemuNbd,
  temporaryDirectory,
} from '../harness/index.js';

test('a program that fails is an error that shows its command, code and stderr', async () => {
  await expect(run('sh', ['-c', 'echo broken >&2; exit 3'])).rejects.toThrow(
    /^sh -c .* ended with code 3\nstderr: broken$/,
  );
});

test('a program that takes too long is killed', async () => {
  await expect(run('sleep', ['60'], { timeout: 50 })).rejects.toThrow('sleep 60 did not end within 0.05 s');
});

test('input and output pass unchanged', async () => {
  const bytes = Uint8Array.from({ length: 300_000 }, (_, i) => i % 251);
  expect((await run('cat', [], { input: bytes })).bytes.equals(bytes)).toBe(true);
});

test('a temporary directory goes with its scope', async () => {
  let path;
  {
    await using directory = await temporaryDirectory();
    ({ path } = directory);
    await writeFile(directory.file('left-behind'), '');
  }
  expect(existsSync(path)).toBe(false);
});

describeWith(['nbdkit', 'nbdinfo', 'trixie:nbdinfo'], 'peers', () => {
  test.each(['nbdinfo', 'trixie:nbdinfo'])('%s reads from nbdkit', async (nbdinfo) => {
    await using server = await serveNbdkit(['memory', '1M']);
    expect((await run(nbdinfo, ['--size', server.uri])).stdout).toBe('1048576\n');
  });

  test('a server ends with its scope', async () => {
    let ended;
    {
      await using server = await serveNbdkit(['memory', '1M']);
      ({ ended } = server);
    }
    expect(await ended).toMatchObject({ code: 0 });
  });

  test('a server that does not start is an error that shows what it said', async () => {
    await expect(serveNbdkit(['memory', 'no-such=parameter'])).rejects.toThrow(
      /before it served\n.*no-such/s,
    );
  });

  test('certificates and pre-shared keys are such as nbdkit and libnbd take', async () => {
    await using certs = await certificates();
    await using keys = await preSharedKeys('alice');
    const size = async (tls: string, query: string) => {
      await using server = await serveNbdkit(['--tls=require', '--tls-verify-peer', tls, 'memory', '1M']);
      const uri = server.uri.replace('nbd+unix://', `nbds+unix://alice@`);
      return (await run('nbdinfo', ['--size', `${uri}&${query}`])).stdout;
    };
    expect(
      await size(`--tls-certificates=${certs.path}`, `tls-certificates=${certs.path}&tls-hostname=localhost`),
    ).toBe('1048576\n');
    expect(await size(`--tls-psk=${keys.file}`, `tls-psk-file=${keys.file}`)).toBe('1048576\n');
  });
});

describeWith(['qemu-nbd', 'trixie:qemu-nbd', 'nbdsh'], 'qemu-nbd', () => {
  test.each(['qemu-nbd', 'trixie:qemu-nbd'] as const)('%s serves a file', async (program) => {
    await using directory = await temporaryDirectory();
    await writeFile(directory.file('disk'), 'hello'.padEnd(512));
    await using server = await serveQemuNbd(['--format=raw', directory.file('disk')], { program });
    const { stdout } = await run('nbdsh', ['-u', server.uri, '-c', 'print(h.pread(5, 0))']);
    expect(stdout).toContain('hello');
  });
});

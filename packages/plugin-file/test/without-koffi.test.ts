import { execFileSync } from 'node:child_process';
import {
  closeSync,
  cpSync,
  existsSync,
  openSync,
  readFileSync,
  realpathSync,
  truncateSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { loadSystem } from '../src/system/index.js';
import { PLACES, temporaryDirectory } from './temporary.js';

/** An installation as it is where the optional dependency is left out. */
function installWithoutKoffi(): string {
  const directory = temporaryDirectory();
  const packages = join(import.meta.dirname, '../..');
  for (const folder of ['nbd-protocol', 'nbd-plugin', 'plugin-file']) {
    const source = join(packages, folder);
    const manifest = JSON.parse(readFileSync(join(source, 'package.json'), 'utf8')) as {
      name: string;
      dependencies?: Record<string, string>;
    };
    const target = join(directory, 'node_modules', manifest.name);
    cpSync(join(source, 'package.json'), join(target, 'package.json'));
    cpSync(join(source, 'dist'), join(target, 'dist'), { recursive: true });
    for (const dependency of Object.keys(manifest.dependencies ?? {})) {
      if (dependency.startsWith('@nbd/')) continue;
      const installed = realpathSync(join(source, 'node_modules', dependency));
      cpSync(installed, join(directory, 'node_modules', dependency), { recursive: true });
    }
  }
  return directory;
}

const directory = installWithoutKoffi();

/** Runs a script there, with the plugin as `plugin`; `warnings` is what it logged. Returns what the script printed. */
function run(script: string, path: string): unknown {
  const prelude = `
    import file from '@nbd/plugin-file';
    import { checkDevice } from '@nbd/plugin/testing';
    const warnings = [];
    const log = { warn: (message) => warnings.push(message), info() {}, debug() {} };
    const open = async () => {
      const plugin = await file.fromArguments([${JSON.stringify(path)}], { log });
      return plugin.open({ exportName: '', readOnly: false });
    };
    const print = (value) => console.log(JSON.stringify(value));
  `;
  const output = execFileSync(process.execPath, ['--input-type=module', '-e', prelude + script], {
    cwd: directory,
    env: { ...process.env, NODE_PATH: '' }, // pnpm's programs set it to where koffi is
    encoding: 'utf8',
  });
  return JSON.parse(output);
}

function sparseFile(name: string, size: number): string {
  const path = join(directory, name);
  writeFileSync(path, '');
  truncateSync(path, size);
  return path;
}

test('the plugin works without koffi, and says once what it does without', () => {
  const path = sparseFile('disk', 1_000_000);
  const printed = run(
    `
      await checkDevice(open);
      warnings.length = 0;
      const device = await open();
      await device.write(999_997n, Uint8Array.of(1, 2, 3));
      await device.flush();
      const into = new Uint8Array(4);
      await device.read(999_996n, into);
      print({ warnings, into: [...into], commands: Object.keys(device), info: device.info });
    `,
    path,
  ) as { warnings: string[]; into: number[]; commands: string[]; info: unknown };
  expect(printed.warnings).toEqual([
    'plugin-file: koffi is not installed (npm install koffi): holes are not told, nothing is trimmed or locked, and files over 8 PiB are served read-only',
  ]);
  expect(printed.into.slice(1)).toEqual([1, 2, 3]);
  expect(printed.commands).not.toContain('extents');
  expect(printed.commands).not.toContain('trim');
  expect(printed.info).toMatchObject({ readOnly: false });
}, 60_000);

const { system } = loadSystem();

describe.skipIf(system === undefined || !existsSync('/dev/shm'))('on tmpfs', () => {
  const directory = temporaryDirectory(PLACES.at(-1));

  test('a file over 2^53-1 bytes is read to its end, and not written', async () => {
    const path = join(directory, 'giant');
    const fd = openSync(path, 'w');
    await system!.write(fd, Uint8Array.of(1, 2, 3), 2n ** 63n - 4n);
    closeSync(fd);
    const printed = run(
      `
        const device = await open();
        const into = new Uint8Array(4);
        await device.read(2n ** 63n - 5n, into);
        print({ size: String(device.size), readOnly: device.info.readOnly, into: [...into] });
      `,
      path,
    );
    expect(printed).toEqual({ size: '9223372036854775807', readOnly: true, into: [0, 1, 2, 3] });
  }, 30_000);
});

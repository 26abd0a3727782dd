import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { mkdir, symlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import ts from 'typescript';
import { afterAll, beforeAll, expect, test } from 'vitest';
import {
  certificates,
  describeWith,
  preSharedKeys,
  run,
  serve,
  temporaryDirectory,
  type Certificates,
  type PreSharedKeys,
  type Server,
  type TemporaryDirectory,
} from '../harness/index.js';

const fileAt = (path: string) => fileURLToPath(new URL(path, import.meta.url));
const README = readFileSync(fileAt('../../packages/nbd-client/README.md'), 'utf8');
const NBD_INFO = fileAt('../../packages/nbd-client/bin/nbd-info.js');

/** The code blocks of the tutorial, in their order. */
const blocks = [...README.matchAll(/^```(\w+)\n(.*?)^```$/gms)].map(([, language, code = '']) => ({
  language,
  code,
}));
const programs = blocks.filter(({ language }) => language === 'ts').map(({ code }) => code);
/** They need a browser. */
const forBrowsers = programs.filter((code) => code.includes('new WebSocket('));

/** What a program says that it prints: comments behind `console.log`, or in lines of their own after a loop. */
function promised(code: string): string[] {
  return [...code.matchAll(/console\.log\(.*\); \/\/ (.*)$|^\/\/ (\d.*|E[A-Z]+ .*)$/gm)].map(
    ([, behind, alone]) => behind ?? alone!,
  );
}

describeWith(['qemu-img', 'qemu-nbd', 'openssl'], "the client's README", () => {
  let directory: TemporaryDirectory;
  let server: Server;
  let certs: Certificates;
  let keys: PreSharedKeys;
  let secured: Server[];

  beforeAll(async () => {
    directory = await temporaryDirectory();
    server = await serve(['plugin-memory', '64M'], { tcp: true });
    certs = await certificates();
    keys = await preSharedKeys('alice');
    secured = [
      await serve(['--tls-certificates', certs.path, 'plugin-memory', '64M'], { tcp: true }),
      await serve(['--tls-psk', keys.file, 'plugin-memory', '64M'], { tcp: true }),
    ];
    await run('qemu-img', ['create', '-q', '-f', 'qcow2', directory.file('disk.qcow2'), '1G']);
    await mkdir(directory.file('node_modules'));
    await symlink(fileAt('../node_modules/@nbd'), directory.file('node_modules/@nbd'));
    await symlink(fileAt('../../node_modules/@types'), directory.file('node_modules/@types'));
  });

  afterAll(async () => {
    await server.stop();
    for (const one of secured) await one.stop();
    for (const one of [certs, keys, directory]) await one[Symbol.asyncDispose]();
  });

  /** With the servers of this test in place of those of the reader. */
  function here(text: string): string {
    const authority = (one: Server) => new URL(one.uri).host;
    return text
      .replaceAll('nbds://alice@localhost', `nbds://alice@${authority(secured[1]!)}`)
      .replaceAll('nbds://localhost', `nbds://${authority(secured[0]!)}`)
      .replaceAll('nbd://localhost', `nbd://${authority(server)}`)
      .replaceAll('10809', new URL(server.uri).port)
      .replaceAll('/etc/pki/nbd', certs.path)
      .replaceAll('keys.psk', keys.file);
  }

  test('its programs are correct TypeScript', async () => {
    const names = programs.map((_, i) => directory.file(`program-${i}.ts`));
    await Promise.all(programs.map((code, i) => writeFile(names[i]!, code)));
    await writeFile(directory.file('package.json'), '{ "type": "module" }');
    const checked = ts.createProgram(names, {
      strict: true,
      noEmit: true,
      skipLibCheck: true,
      target: ts.ScriptTarget.ES2023,
      lib: ['lib.es2023.d.ts', 'lib.esnext.disposable.d.ts', 'lib.dom.d.ts'],
      module: ts.ModuleKind.NodeNext,
      types: ['node'],
    });
    const messages = ts.getPreEmitDiagnostics(checked);
    expect(messages.map(({ messageText, file }) => [file?.fileName, messageText])).toEqual([]);
  });

  test('its programs do what they say, one after the other', async () => {
    const runnable = programs.filter((code) => !forBrowsers.includes(code));
    expect(runnable.length).toBeGreaterThan(9);
    for (const code of runnable) {
      const file = directory.file('program.mjs');
      const { outputText } = ts.transpileModule(here(code), {
        compilerOptions: { target: ts.ScriptTarget.ES2022, module: ts.ModuleKind.ESNext },
      });
      await writeFile(file, outputText);
      const { stdout } = await run(process.execPath, [file], { cwd: directory.path });
      expect(stdout.split('\n').slice(0, -1), code).toEqual(promised(code));
    }
  });

  test('nbd-info shows what it says', async () => {
    const shown = blocks.find(({ language }) => language === 'text')!.code;
    const { stdout } = await run(process.execPath, [NBD_INFO, server.uri]);
    expect(stdout).toBe(here(shown));
  });

  test('every command of nbd-info can be run', async () => {
    const commands = blocks
      .filter(({ language }) => language === 'sh')
      .flatMap(({ code }) => code.split('\n'))
      .filter((line) => line.startsWith('nbd-info'));
    expect(commands.length).toBeGreaterThan(7);
    const bin = directory.file('bin');
    await mkdir(bin);
    await writeFile(join(bin, 'nbd-info'), `#!/bin/sh\nexec "${process.execPath}" "${NBD_INFO}" "$@"\n`, {
      mode: 0o755,
    });
    const script = here(commands.join('\n'));
    const env = { ...process.env, PATH: `${bin}:${process.env['PATH'] ?? ''}` };
    const output = execFileSync('/bin/sh', ['-e', '-c', script], {
      cwd: directory.path,
      env,
      encoding: 'utf8',
    });
    expect(output).toContain('\n67108864\n');
    expect(output).toContain('\n1073741824\n');
  });
});

import { cp, mkdir, symlink, writeFile } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';
import { expect, test } from 'vitest';
import { run, temporaryDirectory } from '../harness/index.js';

const REPOSITORY = fileURLToPath(new URL('../..', import.meta.url));

/** What `.ci/run` ends with in a repository that has only this one test file, whose tests it runs as `npm test` does. */
async function resultOf(testFile: string, otherSteps: readonly string[] = []) {
  await using directory = await temporaryDirectory();
  await cp(`${REPOSITORY}/scripts`, directory.file('scripts'), { recursive: true });
  await symlink(`${REPOSITORY}/node_modules`, directory.file('node_modules'));
  await mkdir(directory.file('tests'));
  await writeFile(directory.file('package.json'), '{ "type": "module" }');
  await writeFile(
    directory.file('tests/only.test.js'),
    `import { describe, expect, test } from 'vitest';\n${testFile}`,
  );
  const { code } = await run(
    process.execPath,
    [
      `${REPOSITORY}/node_modules/vitest/vitest.mjs`,
      ...['run', '--reporter=json', '--outputFile=test-report.json'],
    ],
    { cwd: directory.path, anyCode: true },
  );
  const steps = code === 0 ? otherSteps : ['tests', ...otherSteps];
  const result = await run(process.execPath, ['scripts/ci-result.js', ...steps], {
    cwd: directory.path,
    anyCode: true,
  });
  return { code: result.code, lastLine: result.stdout.trimEnd().split('\n').at(-1) };
}

test('the result counts what passed', async () => {
  const result = await resultOf(`test('a', () => {}); test('b', () => {});`);
  expect(result).toEqual({ code: 0, lastLine: '2 passed, 0 failed' });
});

test('the result counts what failed and what was skipped', async () => {
  const result = await resultOf(`
    test('passes', () => {});
    test('fails', () => { expect(1).toBe(2); });
    test.todo('is not written');
    describe.skip('a group (needs nbdkit)', () => { test('is skipped', () => {}); });
  `);
  expect(result).toEqual({ code: 1, lastLine: '1 passed, 1 failed, 2 skipped' });
});

test('skipped tests are no failure', async () => {
  const result = await resultOf(`test('a', () => {}); test.skip('b', () => {});`);
  expect(result).toEqual({ code: 0, lastLine: '1 passed, 0 failed, 1 skipped' });
});

test('a file that cannot be loaded is a failure', async () => {
  const result = await resultOf(`import './no-such-file.js'; test('a', () => {});`);
  expect(result).toEqual({ code: 1, lastLine: '0 passed, 1 failed' });
});

test('a rejection that nobody handles is a failure', async () => {
  const result = await resultOf(`
    test('a', async () => {
      Promise.reject(new Error('lost'));
      await new Promise(setImmediate);
    });
  `);
  expect(result).toEqual({ code: 1, lastLine: '1 passed, 1 failed' });
});

test('each other step that failed is a failure', async () => {
  const result = await resultOf(`test('a', () => {});`, ['lint', 'types']);
  expect(result).toEqual({ code: 1, lastLine: '1 passed, 2 failed' });
});

test('tests that left no report are a failure', async () => {
  await using directory = await temporaryDirectory();
  await cp(`${REPOSITORY}/scripts`, directory.file('scripts'), { recursive: true });
  await writeFile(directory.file('package.json'), '{ "type": "module" }');
  const { code, stdout } = await run(process.execPath, ['scripts/ci-result.js', 'tests'], {
    cwd: directory.path,
    anyCode: true,
  });
  expect(code).toBe(1);
  expect(stdout).toBe('Failed: tests\n0 passed, 1 failed\n');
});

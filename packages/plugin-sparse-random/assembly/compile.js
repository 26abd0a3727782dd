import { readFile } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';
import asc from 'assemblyscript/asc';

const FOLDER = new URL('.', import.meta.url);
const OPTIONS = [
  ...['--optimizeLevel', '3', '--noAssert', '--runtime', 'stub', '--enable', 'simd'],
  // Memory that threads share has to have a maximum.
  ...['--importMemory', '--sharedMemory', '--enable', 'threads', '--maximumMemory', '65536'],
];

/**
 * The text of `src/kernels.generated.ts`: the kernels of this folder, compiled to WebAssembly.
 * @returns {Promise<string>}
 */
export async function compileKernels() {
  let wasm;
  const { error, stderr } = await asc.main(
    ['index.ts', '--baseDir', fileURLToPath(FOLDER), '--outFile', 'kernels.wasm', ...OPTIONS],
    {
      readFile: (name) => readFile(new URL(name, FOLDER), 'utf8').then(unroll, () => null),
      writeFile: (_name, contents) => {
        wasm = contents;
      },
    },
  );
  if (error !== null) throw new Error(stderr.toString());
  return [
    '// Made from assembly/ by `pnpm generate`.',
    'export const KERNELS =',
    `  '${Buffer.from(wasm).toString('base64')}';`,
    '',
  ].join('\n');
}

/**
 * Repeats the body of each loop after a line `// unrolled`, once for every value of its counter: AssemblyScript does
 * not, and the kernels run up to 30 % faster for it.
 */
function unroll(source) {
  const loop = /^( *)\/\/ unrolled\n\1for \(let (\w+): (\w+) = 0; \2 < (\d+); \2\+\+\) \{\n([^]*?)^\1\}\n/gm;
  return source.replace(loop, (_, indent, counter, type, count, body) =>
    Array.from(
      { length: Number(count) },
      (_, value) => `${indent}{\n${indent}const ${counter}: ${type} = ${value};\n${body}${indent}}\n`,
    ).join(''),
  );
}

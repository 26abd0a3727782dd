import { writeFile } from 'node:fs/promises';
import { compileKernels } from './compile.js';

await writeFile(new URL('../src/kernels.generated.ts', import.meta.url), await compileKernels());

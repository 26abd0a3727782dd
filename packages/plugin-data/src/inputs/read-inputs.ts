import { Bytes } from '../content/bytes.js';
import type { Content } from '../content/content.js';
import type { Expression, File, Script } from '../language/expression.js';
import { Files } from './files.js';
import { neededInputs } from './needed.js';
import { runScript } from './script.js';

export interface InputOptions {
  /** Where relative paths start, and scripts run. */
  readonly cwd: string;
  /** The environment of scripts. */
  readonly env: Readonly<Record<string, string | undefined>>;
  /** Most bytes that one script or device file may give. They stay in memory. */
  readonly limit: bigint;
}

/** What files and scripts give, by the expression that asks for it. */
export type Inputs = ReadonlyMap<File | Script, Content>;

/**
 * Runs the scripts and opens the files that an expression needs, one after the other.
 * @throws NbdError EINVAL if a script fails or a file can't be read; all are closed then.
 */
export async function readInputs(
  expression: Expression,
  options: InputOptions,
): Promise<{ inputs: Inputs; files: Files }> {
  const files = new Files(options);
  try {
    const inputs = new Map<File | Script, Content>();
    for (const input of neededInputs(expression)) {
      const content =
        input.kind === 'file' ? await files.content(input) : new Bytes(await runScript(input, options));
      inputs.set(input, content);
    }
    return { inputs, files };
  } catch (error) {
    await files.close();
    throw error;
  }
}

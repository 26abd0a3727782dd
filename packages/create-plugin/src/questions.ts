import { createInterface } from 'node:readline/promises';
import type { Language } from './manifest.js';
import { namesOf } from './names.js';

export interface Answers {
  readonly place: string | undefined;
  readonly language: Language | undefined;
}

/** A terminal. */
export interface Terminal {
  readonly input: NodeJS.ReadableStream;
  readonly output: NodeJS.WritableStream;
}

/** Asks for what was not said, until it makes sense. Undefined if the person has left, by Ctrl-C or Ctrl-D. */
export async function ask(said: Answers, { input, output }: Terminal): Promise<Answers | undefined> {
  const terminal = createInterface({ input, output });
  const left = new AbortController();
  terminal.once('close', () => {
    left.abort();
  });

  async function question<T>(text: string, understand: (answer: string) => T): Promise<T> {
    for (;;) {
      const answer = await terminal.question(text, { signal: left.signal });
      try {
        return understand(answer.trim());
      } catch (error) {
        output.write(`${(error as Error).message}.\n`);
      }
    }
  }

  try {
    const place = said.place ?? (await question('Name of the plugin (my-disk): ', placeIn));
    const language = said.language ?? (await question('TypeScript or JavaScript (ts): ', languageIn));
    return { place, language };
  } catch (error) {
    if (!left.signal.aborted) throw error;
    output.write('\n');
    return undefined;
  } finally {
    terminal.close();
  }
}

function placeIn(answer: string): string {
  const place = answer === '' ? 'my-disk' : answer;
  namesOf(place);
  return place;
}

function languageIn(answer: string): Language {
  if (/^(t|ts|typescript)?$/i.test(answer)) return 'typescript';
  if (/^(j|js|javascript)$/i.test(answer)) return 'javascript';
  throw new Error(`'${answer}' is neither: type ts or js`);
}

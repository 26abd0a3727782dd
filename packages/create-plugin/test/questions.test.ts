import { PassThrough } from 'node:stream';
import { expect, test } from 'vitest';
import { ask, type Answers } from '../src/questions.js';

const NOTHING: Answers = { place: undefined, language: undefined };

/** Types each line when the one before was answered by a question. */
async function type(said: Answers, ...lines: readonly string[]) {
  const input = new PassThrough();
  const output = new PassThrough({ encoding: 'utf8' });
  let shown = '';
  const rest = [...lines];
  output.on('data', (text: string) => {
    shown += text;
    if (!text.endsWith(': ')) return;
    const line = rest.shift();
    if (line === undefined) input.end();
    else input.write(`${line}\n`);
  });
  return { answers: await ask(said, { input, output }), shown };
}

test('what was not said is asked for', async () => {
  expect((await type(NOTHING, 'ruler', 'js')).answers).toEqual({ place: 'ruler', language: 'javascript' });
  const { answers, shown } = await type({ ...NOTHING, place: 'ruler' }, 'TypeScript');
  expect(answers).toEqual({ place: 'ruler', language: 'typescript' });
  expect(shown).not.toContain('Name');
});

test('nothing is an answer, too', async () => {
  expect((await type(NOTHING, '', '')).answers).toEqual({ place: 'my-disk', language: 'typescript' });
});

test('what makes no sense is asked again', async () => {
  const { answers, shown } = await type(NOTHING, 'My Disk!', 'ruler', 'rust', 'j');
  expect(answers).toEqual({ place: 'ruler', language: 'javascript' });
  expect(shown).toContain("'My Disk!' can't be in the name of a package");
  expect(shown).toContain("'rust' is neither: type ts or js.");
});

test('whoever leaves is not asked on', async () => {
  expect((await type(NOTHING)).answers).toBeUndefined();
  expect((await type(NOTHING, 'ruler')).answers).toBeUndefined();
});

import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

/** A file of keys, each the given byte 32 times, removed with its scope. */
export function psk(keys: Record<string, string>): AsyncDisposable & { readonly file: string } {
  return textFile(
    Object.entries(keys)
      .map(([user, byte]) => `${user}:${byte.repeat(32)}\n`)
      .join(''),
  );
}

export function textFile(text: string): AsyncDisposable & { readonly file: string } {
  const directory = mkdtempSync(join(tmpdir(), 'nbd-transport-'));
  const file = join(directory, 'keys.psk');
  writeFileSync(file, text);
  return {
    file,
    [Symbol.asyncDispose]: () => {
      rmSync(directory, { recursive: true });
      return Promise.resolve();
    },
  };
}

import { delimiter } from 'node:path';

/** That of a shell outside of npm and vitest, without what these say about themselves and put on the path. */
export const userEnvironment: Readonly<Record<string, string | undefined>> = {
  ...Object.fromEntries(
    Object.keys(process.env)
      .filter((name) => /^(npm_(?!config_)|INIT_CWD$|NODE_ENV$|VITEST)/i.test(name))
      .map((name) => [name, undefined]),
  ),
  PATH: process.env['PATH']
    ?.split(delimiter)
    .filter((directory) => !directory.endsWith('node_modules/.bin'))
    .join(delimiter),
};

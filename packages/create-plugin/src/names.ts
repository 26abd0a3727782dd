import { basename, resolve } from 'node:path';

/** The names of a new plugin. */
export interface Names {
  /** Where the package is made; absolute. */
  readonly directory: string;
  /** That of the package, by which servers find it: `nbd-plugin-ruler`, `@you/nbd-plugin-ruler`. */
  readonly packageName: string;
  /** That in the plugin itself: `ruler`. */
  readonly name: string;
  /** What people type to have it served: `plugin-ruler`, `@you/ruler`. */
  readonly word: string;
}

/** Longest name of a package. npm's rules, which know no capitals and no dot or underscore to start with either. */
const MAX_LENGTH = 214;
const NAME = /^[a-z0-9][a-z0-9._-]*$/;

/**
 * The names of a plugin that is asked for as `ruler`, `nbd-plugin-ruler`, `@you/ruler` or `some/where/ruler`.
 * @throws Error if no package can have that name
 */
export function namesOf(place: string): Names {
  const [, scope] = /^@([^/]*)\/[^/]+$/.exec(place) ?? [];
  const directory = resolve(scope === undefined ? place : basename(place));
  const name = basename(directory).replace(/^(nbd-)?plugin-/, '');
  for (const part of [name, scope ?? 'x']) {
    if (!NAME.test(part)) {
      throw new Error(
        `'${part}' can't be in the name of a package. Take small letters, digits, '.', '-' and '_', with a letter ` +
          'or digit first',
      );
    }
  }
  const at = scope === undefined ? '' : `@${scope}/`;
  const packageName = `${at}nbd-plugin-${name}`;
  if (packageName.length > MAX_LENGTH) {
    throw new Error(`${packageName} is too long: the name of a package has ${MAX_LENGTH} characters at most`);
  }
  return { directory, packageName, name, word: at === '' ? `plugin-${name}` : at + name };
}

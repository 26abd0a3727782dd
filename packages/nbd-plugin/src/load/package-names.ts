/** What is loaded by name. */
export type Kind = 'plugin' | 'filter';

/**
 * The packages that a name on the command line may stand for, in the order in which they are tried; none if it can't
 * be one. `floppy` and `plugin-floppy` are `@nbd/plugin-floppy`, then `nbd-plugin-floppy`; `@scope/x` is
 * `@scope/nbd-plugin-x`, then `@scope/x`.
 *
 * A full name, and every name in the scope of the official packages, stands for itself: a second guess beside
 * `@nbd/plugin-floppy` would be a name that anybody could plant.
 */
export function packageNames(kind: Kind, name: string): string[] {
  const [, scope = '', base] = /^(@[a-z0-9~-][a-z0-9._~-]*\/)?([a-z0-9~-][a-z0-9._~-]*)$/i.exec(name) ?? [];
  if (base === undefined) return [];
  if (scope === OFFICIAL_SCOPE || base.startsWith(`nbd-${kind}-`)) return [name];

  const short = base.startsWith(`${kind}-`) ? base.slice(kind.length + 1) : base;
  if (short === '') return [];
  if (scope !== '') return [`${scope}nbd-${kind}-${short}`, name];
  return [`${OFFICIAL_SCOPE}${kind}-${short}`, `nbd-${kind}-${short}`];
}

/** Whether a package is one of the project's own. */
export function isOfficial(packageName: string): boolean {
  return packageName.startsWith(OFFICIAL_SCOPE);
}

/** The shortest that people may type: `floppy` for `@nbd/plugin-floppy`, `nbd-plugin-floppy` and `plugin-floppy`. */
export function shortName(kind: Kind, name: string): string {
  for (const prefix of [`${OFFICIAL_SCOPE}${kind}-`, `nbd-${kind}-`, `${kind}-`]) {
    if (name.startsWith(prefix)) return name.slice(prefix.length);
  }
  return name;
}

const OFFICIAL_SCOPE = '@nbd/';

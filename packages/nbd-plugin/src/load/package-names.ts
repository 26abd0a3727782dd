/** What is loaded by name. */
export type Kind = 'plugin' | 'filter';

/** A package, or with `subpath` a module of it: `{ package: '@nbd/filters', subpath: 'cow' }`. */
export interface PackageName {
  readonly package: string;
  readonly subpath?: string;
}

/**
 * The packages that a name on the command line may stand for, in the order in which they are tried; none if it can't
 * be one. `floppy` and `plugin-floppy` are `@nbd/plugin-floppy`, then `nbd-plugin-floppy`; `@scope/x` is
 * `@scope/nbd-plugin-x`, then `@scope/x`. The filter `cow` is `@nbd/filters/cow`, then `nbd-filter-cow`.
 *
 * A full name, and every name in the scope of the official packages, stands for itself: a second guess beside
 * `@nbd/plugin-floppy` would be a name that anybody could plant.
 */
export function packageNames(kind: Kind, name: string): PackageName[] {
  const [, scope = '', base] = /^(@[a-z0-9~-][a-z0-9._~-]*\/)?([a-z0-9~-][a-z0-9._~-]*)$/i.exec(name) ?? [];
  if (base === undefined) return [];
  if (scope === OFFICIAL_SCOPE || base.startsWith(`nbd-${kind}-`)) return [{ package: name }];

  const short = base.startsWith(`${kind}-`) ? base.slice(kind.length + 1) : base;
  if (short === '') return [];
  if (scope !== '') return [{ package: `${scope}nbd-${kind}-${short}` }, { package: name }];
  const family = officialFamily(kind);
  const official =
    family === undefined
      ? { package: `${OFFICIAL_SCOPE}${kind}-${short}` }
      : { package: family, subpath: short };
  return [official, { package: `nbd-${kind}-${short}` }];
}

/** The package that holds all official ones of a kind, where they are too small for packages of their own. */
export function officialFamily(kind: Kind): string | undefined {
  return kind === 'filter' ? `${OFFICIAL_SCOPE}filters` : undefined;
}

/** As it is imported: `@nbd/filters/cow`. */
export function nameOf({ package: packageName, subpath }: PackageName): string {
  return subpath === undefined ? packageName : `${packageName}/${subpath}`;
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

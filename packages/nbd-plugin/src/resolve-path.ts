/**
 * `path` made absolute: it starts at `cwd`, on Windows (told by a `cwd` such as `C:\dir`) as elsewhere.
 *
 * Only leading `.` and `..` are resolved, against a `cwd` in which there are no symbolic links. What follows is left to
 * the system, which alone knows where `a/link/..` leads.
 */
export function resolvePath(cwd: string, path: string): string {
  const windowsRoot = /^([A-Za-z]:(?=[\\/])|\\\\[^\\/]+[\\/][^\\/]+)/.exec(cwd)?.[0];
  const windows = windowsRoot !== undefined;
  if (path.startsWith('/') || (windows && /^([A-Za-z]:|\\)/.test(path))) return path;

  const root = windowsRoot ?? '';
  const separator = windows ? '\\' : '/';
  const folders = cwd
    .slice(root.length)
    .split(windows ? /[\\/]+/ : /\/+/)
    .filter((folder) => folder !== '');
  const steps = path.split(windows ? /[\\/]+/ : /\/+/);
  while (steps[0] === '.' || steps[0] === '..') {
    if (steps.shift() === '..') folders.pop();
  }
  return root + separator + [...folders, ...steps].join(separator);
}

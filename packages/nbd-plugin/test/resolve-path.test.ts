import { posix, win32 } from 'node:path';
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { resolvePath } from '../src/resolve-path.js';

test.each([
  ['/home/me', 'a', '/home/me/a'],
  ['/home/me/', './a/b', '/home/me/a/b'],
  ['/home/me', '../../../a', '/a'],
  ['/home/me', '.', '/home/me'],
  ['/home/me', '../..', '/'],
  ['/', 'a', '/a'],
  ['/home/me', '/abs//x/..', '/abs//x/..'],
  ['/home/me', '.../x', '/home/me/.../x'],
  ['/home/me', 'back\\slash', '/home/me/back\\slash'],
  ['C:\\Users\\me', 'a/b', 'C:\\Users\\me\\a\\b'],
  ['C:\\Users\\me', '..\\a', 'C:\\Users\\a'],
  ['C:\\', '..\\..', 'C:\\'],
  ['C:\\Users\\me', 'D:\\a', 'D:\\a'],
  ['C:\\Users\\me', '\\\\host\\share\\a', '\\\\host\\share\\a'],
  ['\\\\host\\share\\dir', '..\\..\\a', '\\\\host\\share\\a'],
])('from %s, %s is %s', (cwd, path, absolute) => {
  expect(resolvePath(cwd, path)).toBe(absolute);
});

test('what a link may change the meaning of is left to the system', () => {
  expect(resolvePath('/home/me', 'link/../a')).toBe('/home/me/link/../a');
});

test('it leads where Node says', () => {
  const steps = fc.array(fc.constantFrom('.', '..', 'a', 'b.c', '...'), { minLength: 1 });
  fc.assert(
    fc.property(fc.array(fc.constantFrom('x', 'y z')), steps, (folders, path) => {
      const there = `/${folders.join('/')}`;
      expect(posix.normalize(resolvePath(there, path.join('/')))).toBe(posix.resolve(there, path.join('/')));
      const onWindows = `C:\\${folders.join('\\')}`;
      expect(win32.normalize(resolvePath(onWindows, path.join('\\')))).toBe(
        win32.resolve(onWindows, path.join('\\')),
      );
    }),
  );
});

import { mkdirSync, utimesSync, writeFileSync } from 'node:fs';

/** Files by their paths, as text or as bytes; a path that ends with a slash is a directory. */
export type Tree = readonly (readonly [path: string | Buffer, content: string])[];

/** Trees whose names are the same on FAT. */
export const plainTrees: Readonly<Record<string, Tree>> = {
  'an empty directory': [],
  '3 files': [
    ['README', 'read me\n'],
    ['notes.txt', 'some notes\n'.repeat(1000)],
    ['A longer name.html', '<p>'],
  ],
  '2 000 small files in one directory': files(2000, (i) => `all of them/small file number ${i}.txt`),
  'a tree 20 deep': [
    [`${Array.from({ length: 20 }, (_, i) => `level ${i}`).join('/')}/bottom.txt`, 'reached\n'],
  ],
  'an empty file and an empty directory': [
    ['nothing', ''],
    ['empty/', ''],
    ['something', 'x'],
  ],
  '20 000 files': files(20_000, (i) => `directory ${i % 40}/file ${i}.dat`),
};

export const emojiAndScripts: Tree = [
  'Ελληνικά.txt',
  'русский текст.txt',
  'עברית.txt',
  'العربية.txt',
  'हिन्दी.txt',
  '日本語のファイル.txt',
  '한국어.txt',
  'żółć/ünïcödé.txt',
  '😀 smile.txt',
  '👩‍👩‍👧‍👦 family/🎉.txt',
  '長'.repeat(85),
].map((path) => [path, `content of ${path}`]);

const awkwardNames: readonly string[] = [
  ...['what?', 'a*b', 'a:b', 'a"b', 'a<b', 'a>b', 'a|b', 'a\\b', 'line\nfeed', 'tab\t'],
  ...['dot.', 'dots...', 'space ', 'both . ', '...', '   '],
  ...['con', 'PRN.txt', 'aux.tar.gz', 'nul ', 'Com1', 'lpt9.x'],
  // The same as one before them but for case.
  ...['CON', 'WHAT?', 'Dot.'],
  // Not UTF-8.
  ...['\xff\xfe', 'caf\xe9.txt', '\xed\xa0\x80'],
];

/** Each name is impossible on FAT. */
export const awkward: Tree = awkwardNames.map((name) => [Buffer.from(name, 'latin1'), `content of ${name}`]);

export function makeTree(root: string, tree: Tree, modified: Date): void {
  mkdirSync(root);
  for (const [path, content] of tree) {
    const name = Buffer.from(path);
    const directory = name.subarray(0, name.lastIndexOf('/') + 1);
    mkdirSync(Buffer.concat([Buffer.from(`${root}/`), directory]), { recursive: true });
    if (directory.length === name.length) continue;
    const file = Buffer.concat([Buffer.from(`${root}/`), name]);
    writeFileSync(file, content);
    utimesSync(file, modified, modified);
  }
}

function files(count: number, path: (i: number) => string): Tree {
  return Array.from({ length: count }, (_, i) => [path(i), `content ${i}\n`]);
}

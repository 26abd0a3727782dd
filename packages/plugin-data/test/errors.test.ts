import { expect, test } from 'vitest';
import { errorOf } from './disk.js';

/** The message without the plugin's name, as lines. */
async function complaint(...words: string[]): Promise<string[]> {
  const message = await errorOf(words);
  expect(message.startsWith('plugin-data: ')).toBe(true);
  return message.slice('plugin-data: '.length).split('\n');
}

test('an error shows the line and a caret under the place', async () => {
  expect(await complaint('# a boot sector\n1 -> \\mbr\n( @0x1fe \\boot )*2')).toEqual([
    'line 3: there is no \\boot here; there is \\mbr',
    '  ( @0x1fe \\boot )*2',
    '           ^',
  ]);
});

test('an error in a variable names it', async () => {
  expect(await complaint('$a', 'a=1 $b', 'b=\n 2 x')).toEqual([
    '$b, line 2: expected a byte (0 to 255), le16: to be64:, a "string", @offset, <file, <(script), ( … ), \\name or $VAR',
    '   2 x',
    '     ^',
  ]);
});

test('of a long line, what is around the place is shown', async () => {
  const [, line, caret] = await complaint(`${'1 '.repeat(10_000)}ʘ ${'2 '.repeat(10_000)}`);
  expect(line).toMatch(/^ {2}…[ 1]+ʘ[ 2]+…$/);
  expect(line!.length).toBeLessThan(100);
  expect(line!.indexOf('ʘ')).toBe(caret!.indexOf('^'));
});

test('control characters and tabs do not move the caret', async () => {
  const [, line, caret] = await complaint('"\t\x1b[31m\u0007" 𝄞');
  expect(line).toBe('  " \ufffd[31m\ufffd" 𝄞');
  expect(caret).toBe('            ^');
});

test.each([
  // text, where the caret is, the message
  ['1 2 +3', 4, /^expected a byte/],
  ['256', 0, /^256 is more than 255$/],
  ['4294967361', 0, /^4294967361 is more than 255$/],
  ['0x', 0, /^expected hexadecimal digits after 0x$/],
  ['1abc', 1, /^expected a byte/],
  ['1,2', 1, /^expected a byte/],
  ['-1', 0, /^expected -> \\name$/],
  ['LE16:1', 0, /^expected a byte/],
  ['le24:1', 0, /^expected a byte/],
  ['le16:', 5, /^expected a number of 16 bits$/],
  ['le16: 5', 5, /^expected a number of 16 bits$/],
  ['le16:-1', 5, /^expected a number of 16 bits$/],
  ['le16:65536', 5, /^65536 is more than 65535$/],
  ['be64:18446744073709551616', 5, /^18446744073709551616 is more than 18446744073709551615$/],
  ['le32:08', 6, /^expected the end of the number of 32 bits$/],
  ['le32:5k', 6, /^expected the end of the number of 32 bits$/],
  ['1 "a', 2, /^this string has no closing "$/],
  ['"a\\', 0, /^this string has no closing "$/],
  ['"a\\x4g"', 2, /^expected two hexadecimal digits after \\x$/],
  ['"\\x4', 1, /^expected two hexadecimal digits after \\x$/],
  ['"\\0"', 1, /^expected an escape such as .*; \\0 means nothing here$/],
  ['"\\u0041"', 1, /^expected an escape such as .*; \\u means nothing here$/],
  ['@', 1, /^expected an offset such as/],
  ['@ 4', 1, /^expected an offset such as/],
  ['@+-4', 2, /^a distance can't be below zero$/],
  ['@+', 2, /^expected a distance, such as 512, 0x200 or 4k$/],
  ['1 @-2', 2, /^expected at most @-1 at offset 1: there is nothing before 0$/],
  ['@^3', 0, /^expected an alignment that is a power of two; 3 is none$/],
  ['@^0', 0, /^expected an alignment that is a power of two; 0 is none$/],
  ['@^-4', 2, /^an alignment can't be below zero$/],
  ['@9223372036854775808', 1, /^9223372036854775808 is more than 9223372036854775807$/],
  ['@8E', 1, /^an offset can't be over 2\^63 - 1$/],
  ['@0x7fffffffffffffff 1', 0, /^what is here ends beyond 2\^63 - 1/],
  ['@7E @+1E', 4, /^what is here ends beyond 2\^63 - 1/],
  ['@0x7ffffffffffffff1 @^16', 20, /^what is here ends beyond 2\^63 - 1/],
  ['"ab"*0x4000000000000000', 4, /^what is here ends beyond 2\^63 - 1/],
  ['*3', 0, /^expected something before this that it applies to$/],
  ['[:3]', 0, /^expected something before this that it applies to$/],
  ['-> \\a', 0, /^expected something before this that it applies to$/],
  ['(*3)', 1, /^expected something before this that it applies to$/],
  ['@4*3', 2, /^this does not apply to an offset; put both in \( … \)$/],
  ['@4 -> \\a', 3, /^this does not apply to an offset/],
  ['1*', 2, /^expected a count, such as/],
  ['1*-3', 2, /^a count can't be below zero$/],
  ['1[', 2, /^expected an offset in the slice/],
  ['1[]', 2, /^expected an offset in the slice/],
  ['1[1]', 3, /^expected : as in \[from:to\]$/],
  ['1[1:3 ]', 5, /^expected \] as in \[from:to\]$/],
  ['"Hello"[:6]', 7, /^expected a slice of what is before it, which is 5 bytes long$/],
  ['"Hello"[6:]', 7, /^expected a slice of what is before it, which is 5 bytes long$/],
  ['"Hello"[3:2]', 7, /^expected a slice that ends after it begins$/],
  ['"Hello"[:-1]', 9, /^an offset in the slice can't be below zero$/],
  ['1[5:1]', 1, /^expected a slice of what is before it, which is 1 bytes long$/],
  ['()[:1]', 2, /^expected a slice of what is before it, which is 0 bytes long$/],
  ['1 -> \\a[0:1]', 7, /^expected a slice of what is before it, which is 0 bytes long$/],
  ['1 -> a', 5, /^expected a \\name after ->, of letters, digits, - and _$/],
  ['1 ->', 4, /^expected a \\name after ->/],
  ['1 - > \\a', 2, /^expected -> \\name$/],
  ['1 -> \\a \\a->\\b', 11, /^expected a space before ->; the name here is \\a-$/],
  ['\\', 0, /^expected a name after \\/],
  ['\\ a', 0, /^expected a name after \\/],
  ['\\a', 0, /^there is no \\a here; no name is assigned before it$/],
  ['(1 -> \\a) \\a', 10, /^there is no \\a here; no name is assigned before it$/],
  ['(\\a) -> \\a \\a', 1, /^there is no \\a here; no name is assigned before it$/],
  ['1 -> \\a*2 \\a', 10, /^there is no \\a here/],
  ['\\a 1 -> \\a', 0, /^there is no \\a here/],
  ['1 (2', 2, /^this \( has no \) that closes it$/],
  ['1 )', 2, /^this \) has no \( that opens it$/],
  ['(1))', 3, /^this \) has no \( that opens it$/],
  ['1 <', 2, /^expected the name of a file right after <$/],
  ['< file', 0, /^expected the name of a file right after <$/],
  ['1 <()', 2, /^expected a script between <\( and \)$/],
  ['1 <(echo (a)', 2, /^this <\( has no \) that closes it$/],
  ['$', 0, /^expected a variable such as \$pattern/],
  ['$1', 0, /^expected a variable such as \$pattern/],
  ['1 $no_such_variable*0', 2, /^there is no variable \$no_such_variable; give it as no_such_variable=…/],
])('%j is an error at %d', async (text, column, message) => {
  const [first, line, caret] = await complaint(text);
  expect(first).toMatch(/^line 1: /);
  expect(first!.slice('line 1: '.length)).toMatch(message);
  expect(line).toBe(`  ${text}`);
  expect(caret).toBe(`${' '.repeat(2 + column)}^`);
});

test.each([
  [['$a', 'a=$a'], /^\$a, line 1: \$a contains itself: \$a → \$a$/],
  [['$a', 'a=( $b )', 'b=1 $c', 'c="x" $a*0'], /^\$c, line 1: \$a contains itself: \$a → \$b → \$c → \$a$/],
  [['$a', 'a=1)'], /^\$a, line 1: this \) has no \(/],
  [['$a 2', 'a=(1'], /^\$a, line 1: this \( has no \)/],
])('variables: %j', async (words, message) => {
  expect((await complaint(...words))[0]).toMatch(message);
});

test('variables that use names, in each other, come to an end', async () => {
  const doubled = Array.from({ length: 60 }, (_, i) => `v${i}=$v${i + 1} $v${i + 1}`);
  expect((await complaint('1 -> \\x $v0', ...doubled, 'v60=\\x'))[0]).toMatch(
    /they come to over a million characters$/,
  );
});

test.each([
  ['parentheses', '('.repeat(1e6)],
  ['closed parentheses', '('.repeat(1e5) + '1' + ')'.repeat(1e5)],
  ['operators', `"abc"${'[:][0:]'.repeat(1e5)}`],
  ['names', `1 -> \\a ${'(@1 \\a) -> \\a '.repeat(1e5)} \\a`],
])('a million levels of %s are an error', async (_, text) => {
  expect((await complaint(text))[0]).toBe(
    'line 1: expected at most 1000 levels of ( … ), operators and names in each other',
  );
});

test.each([
  [[], /^plugin-data: give the disk as one of data=, base64= and raw=$/],
  [['1', 'raw=a'], /^plugin-data: give the disk as one of data=, base64= and raw=$/],
  [['base64=aGk=', 'raw=a'], /^plugin-data: give the disk as one of data=, base64= and raw=$/],
  [['raw=a', 'x=1'], /^plugin-data: x= means something only with data=$/],
  [['1', 'size=-1'], /^plugin-data: size=-1/],
])('parameters: %j', async (words, message) => {
  expect(await errorOf(words)).toMatch(message);
});

test.each(['aGk', 'aGk==', '=', 'a', 'aG-k', 'aGk=aGk=', '!!!!', 'YWJjZB=='])(
  'base64=%s is an error',
  async (text) => {
    expect(await errorOf([`base64=${text}`])).toMatch(/^plugin-data: base64= is not base64/);
  },
);

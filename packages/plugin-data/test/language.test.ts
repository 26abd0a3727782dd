import { expect, test } from 'vitest';
import data from '../src/index.js';
import { bytesOf, diskOf, open } from './disk.js';

const hex = async (...words: string[]): Promise<string> =>
  Buffer.from(await bytesOf(await diskOf(...words))).toString('hex');

test.each([
  ['', ''],
  ['0 1 2 3', '00010203'],
  ['65 0x41 0101 0XfF', '414141ff'],
  ['08', '0008'],
  ['1"a"(2)3', '01610203'],
  ['1\r2\f3\v4\t5', '0102030405'],
])('bytes: %j', async (text, expected) => {
  expect(await hex(text)).toBe(expected);
});

test.each([
  ['le16:1 be16:1', '01000001'],
  ['le32:0x01020304 be32:0x01020304', '0403020101020304'],
  ['le64:18446744073709551615', 'ffffffffffffffff'],
  ['be64:010', '0000000000000008'],
  ['le16:+1', '0100'],
  ['(le16:1)*2', '01000100'],
  ['le16:0xaa55*2', '55aa55aa'],
])('words: %j', async (text, expected) => {
  expect(await hex(text)).toBe(expected);
});

test.each([
  ['"hello"', '68656c6c6f'],
  [String.raw`"\q\a\b\f\n\r\t\v\\\"\x41\'\?"`, '7107080c0a0d090b5c2241273f'],
  ['"é€𝄞"', 'c3a9e282acf09d849e'],
  ['"\\𝄞"', 'f09d849e'],
  ['"a\nb"', '610a62'],
  ['"# no comment"', '23206e6f20636f6d6d656e74'],
])('strings: %j', async (text, expected) => {
  expect(await hex(text)).toBe(expected);
});

test.each([
  ['@4', '00000000'],
  ['@4 1 @0 2', '0200000001'],
  ['@010 1', '000000000000000001'],
  ['1 @+ 2 3', '01000003'],
  ['1 2 @-1 3', '0103'],
  ['@-0 1', '01'],
  ['1 @^4 2 @^1 3', '010000000203'],
  ['1 @^ 4', '01000000'],
  ['@4 @0', '00000000'],
  ['0 1 2 3 @^0x10 @-2 le16:0xaa55', '000102030000000000000000000055aa'],
])('offsets: %j', async (text, expected) => {
  expect(await hex(text)).toBe(expected);
});

test.each([
  ['1*8 @2 (@2 5)', '0101000005010101'],
  ['1*8 @2 0*3', '0101000000010101'],
  ['1*4 @1 ()', '01010101'],
  ['1*4 @1 (@2)', '01000001'],
  ['"abcdef" @1 "XY" @2 "Z"', '61585a646566'],
  ['"abcdef" @4 "123" @2 "xyz"', '616278797a3233'],
  ['("ab" @+2 "cd")*2 @3 0xff*4', '616200ffffffff6200006364'],
])('what is written later lies on top: %j', async (text, expected) => {
  expect(await hex(text)).toBe(expected);
});

test.each([
  ['1 (@2 2) (@3 3)', '0100000200000003'],
  ['(@4)*2 1', '000000000000000001'],
  ['(@3 1 @0 2) 3', '0200000103'],
  ['(@3 1 @0)*2', '0000000100000001'],
  ['("Hello" @^8)*2', '48656c6c6f00000048656c6c6f000000'],
  ['() ()*2 ( () ) ( ()*2 )', ''],
])('nested offsets start at 0, and the highest one is the length: %j', async (text, expected) => {
  expect(await hex(text)).toBe(expected);
});

test.each([
  ['0xff*3', 'ffffff'],
  ['1 2*3', '01020202'],
  ['(1 2)*2*3', '010201020102010201020102'],
  ['1 * +2', '0101'],
  ['1*010', '0101010101010101'],
  ['1*08', '08'],
  ['1*16be16:5', '010101010101010101010101010101010005'],
  ['(1 2)*0 3', '03'],
  ['"ab"*2[:3]', '616261'],
  ['"abcdef"[1:4]*2[1:5]', '63646263'],
])('repeats: %j', async (text, expected) => {
  expect(await hex(text)).toBe(expected);
});

test.each([
  ['"Hello"[1:3]', '656c'],
  ['"Hello"[:3] "Hello"[3:]', '48656c6c6f'],
  ['"Hello"[:]', '48656c6c6f'],
  ['"Hello"[ 1: 3]', '656c'],
  ['"Hello"[5:]', ''],
  ['"Hello"[99:99]', ''],
  ['(@4 1)[2:5]', '000001'],
  ['(1 2 3)*4[2:7]', '0301020301'],
])('slices: %j', async (text, expected) => {
  expect(await hex(text)).toBe(expected);
});

test.each([
  ['1 -> \\a \\a \\a', '0101'],
  ['1->\\a \\a', '01'],
  ['1 -> \\-_9 \\-_9', '01'],
  ['(0x55 0xAA) -> \\boot-signature (@2 \\boot-signature) -> \\sector \\sector \\sector', '000055aa000055aa'],
  ['1 -> \\a (2 -> \\a \\a) \\a', '0201'],
  ['1 -> \\a (\\a 2) -> \\a \\a', '0102'],
  ['1 -> \\1 (\\1) -> \\test (3 -> \\1 \\test) 4 -> \\1 \\test (\\1) -> \\test \\test', '010104'],
  ['\\unknown -> \\a \\unknown*0 (\\unknown)[3:3] 5', '05'],
  ['<nowhere*0 <nowhere -> \\a <(exit 1) -> \\b 5', '05'],
  ['1 -> \\a*2', ''],
  ['7 -> \\a 1 -> \\a*2 \\a', '07'],
  ['1 -> \\a -> \\b \\b', ''],
])('names: %j', async (text, expected) => {
  expect(await hex(text)).toBe(expected);
});

test.each([
  [['$v*2', 'v=1 2'], '01020102'],
  [['1 $v', 'v=@2 5'], '01000005'],
  [['7 -> \\n $v (8 -> \\n $v) $v', 'v=\\n'], '070807'],
  [['7 -> \\n $v \\n', 'v=9 -> \\n \\n'], '0907'],
  [['$a $b', 'a=$b 1', 'b=2 # two'], '020102'],
  [['"$v"', 'v=1'], '2476'],
  [['$v 1', 'v='], '01'],
])('variables: %j', async (words, expected) => {
  expect(await hex(...words)).toBe(expected);
});

test('a comment ends with its line', async () => {
  expect(await hex('1#2\n3 # 4 ( " $\n5')).toBe('010305');
});

test('sizes have units where a size is meant', async () => {
  expect((await diskOf('@1M 1 @+1k @-512 @^2s (2*4K)[1k:2K] 3*1kb')).size).toBe(
    (1n << 20n) + 1024n + 1024n + 1024n,
  );
  expect((await diskOf('@7E')).size).toBe(7n << 60n);
});

test('a variable is looked for among the parameters first, then in the environment', async () => {
  const plugin = await data.fromArguments(['$a $b', 'a=1'], { env: { a: '2', b: '3' } });
  expect(await bytesOf(await open(plugin))).toEqual(Uint8Array.of(1, 3));
});

import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { byteString } from '../src/byte-string.js';
import { foldCase, longNames } from '../src/long-names.js';
import { needsLongName, shortNames } from '../src/short-names.js';

const LEGAL_BASE = /^[A-Z0-9$%'_@~`!(){}^#&-]{1,8}$/;
const LEGAL_EXTENSION = /^[A-Z0-9$%'_@~`!(){}^#&-]{0,3}$/;

const utf8 = (...names: string[]) => names.map((name) => byteString(Buffer.from(name)));
const mapped = (...names: string[]) => longNames(utf8(...names)).map(({ text }) => text);

describe('long names', () => {
  test('names that FAT can hold are as they are', () => {
    const names = [
      'a',
      '.hidden',
      ' leading',
      'a.b.c',
      'a+b,c;d=e[f]',
      'ünï',
      '日本語',
      '👩‍👩‍👧.png',
      '\ufeffbom',
      'x'.repeat(255),
    ];
    expect(longNames(utf8(...names))).toEqual(names.map((text) => ({ text, reason: undefined })));
  });

  test.each([
    ['what?', 'what_', 'FAT allows no ? in a name'],
    ['a:b*c:d', 'a_b_c_d', 'FAT allows no : * in a name'],
    ['"<>|\\', '_____', 'FAT allows no " < > | \\ in a name'],
    ['a\tb\uffff', 'a_b_', 'FAT allows no U+0009 U+FFFF in a name'],
    ['dots..', 'dots__', 'a name on FAT does not end with a dot or a space'],
    ['space ', 'space_', 'a name on FAT does not end with a dot or a space'],
    ['. . .', '_____', 'a name on FAT does not end with a dot or a space'],
    ['con', 'con_', 'con is a device on DOS and Windows'],
    ['Aux.tar.gz', 'Aux_.tar.gz', 'Aux is a device on DOS and Windows'],
    ['nul .txt', 'nul_ .txt', 'nul is a device on DOS and Windows'],
    ['COM¹', 'COM¹_', 'COM¹ is a device on DOS and Windows'],
    ['lpt1.', 'lpt1_', 'a name on FAT does not end with a dot or a space'],
  ])('%j becomes %j', (name, text, reason) => {
    expect(longNames(utf8(name))).toEqual([{ text, reason }]);
  });

  test.each(['concert', 'console.log', 'nulled', 'com', 'com10', 'lpt', 'auxiliary'])(
    '%s is no device',
    (name) => {
      expect(mapped(name)).toEqual([name]);
    },
  );

  test('names that are equal but for case are told apart', () => {
    expect(mapped('README.TXT', 'ReadMe.txt', 'readme.txt')).toEqual([
      'README.TXT',
      'ReadMe_2.txt',
      'readme_3.txt',
    ]);
    expect(mapped('ÄÖ', 'äö', 'Σ', 'σ', 'ς')).toEqual(['ÄÖ', 'äö_2', 'Σ', 'σ_2', 'ς_3']);
    expect(longNames(utf8('A', 'a'))[1]).toEqual({
      text: 'a_2',
      reason: 'it differs from A in nothing but case',
    });
  });

  test('a name that fits keeps to itself, whatever others are mapped to', () => {
    expect(mapped('a?', 'a_', 'a_2', 'A_3')).toEqual(['a__2', 'a_', 'a_2', 'A_3']);
  });

  test('letters that no system takes for the same are different', () => {
    expect(mapped('straße', 'strasse', 'ﬁ', 'fi', 'e\u0301', '\u00e9').length).toBe(6);
    expect(
      longNames(utf8('straße', 'strasse', 'ﬁ', 'fi', 'e\u0301', '\u00e9')).every(
        ({ reason }) => reason === undefined,
      ),
    ).toBe(true);
  });

  test('a mapped name of the full length is cut in front of its extension, not within a character', () => {
    const [first, second] = mapped(`${'x'.repeat(250)}.jpg?`, `${'x'.repeat(250)}.jpg*`);
    expect(first).toBe(`${'x'.repeat(250)}.jpg_`);
    expect(second).toBe(`${'x'.repeat(248)}_2.jpg_`);
    // 255 bytes that are not UTF-8 in one place.
    const bytes = Buffer.concat([Buffer.from('😀'.repeat(63)), Buffer.of(0xff)]);
    expect(longNames([byteString(bytes)])[0]!.text).toBe('😀'.repeat(63) + '_');
  });

  test('any names become ones that FAT can hold, differ, and are the same again', () => {
    const byteNames = fc
      .uint8Array({ minLength: 1, maxLength: 255 })
      .map((bytes) => byteString(Buffer.from(bytes)));
    const textNames = fc.string({
      unit: fc.constantFrom('a', 'A', 'b', '.', ' ', '?', '*', '_', '2', 'é', '😀', '\uffff'),
      minLength: 1,
      maxLength: 8,
    });
    const name = fc.oneof(
      byteNames,
      textNames.map((text) => utf8(text)[0]!),
    );
    fc.assert(
      fc.property(fc.uniqueArray(name, { maxLength: 60 }), (names) => {
        const result = longNames(names);
        const wrong = result.filter(
          ({ text }) =>
            !/^[^\x00-\x1f"*/:<>?\\|\uffff]{1,255}$/.test(text) ||
            /[. ]$/.test(text) ||
            Buffer.from(text).toString() !== text,
        );
        expect(wrong).toEqual([]);
        expect(new Set(result.map(({ text }) => foldCase(text))).size).toBe(names.length);
        expect(longNames(names)).toEqual(result);
        const changed = result.map(({ text }, i) => utf8(text)[0] !== names[i]);
        expect(result.map(({ reason }) => reason !== undefined)).toEqual(changed);
      }),
    );
  });

  test('30 000 names that all become the same take no time', { timeout: 30_000 }, () => {
    // Four bytes each that are not UTF-8.
    const names = Array.from({ length: 30_000 }, (_, i) =>
      [12, 8, 4, 0].map((shift) => String.fromCharCode(0x80 | ((i >> shift) & 15))).join(''),
    );
    const texts = longNames(names).map(({ text }) => text);
    expect(new Set(texts).size).toBe(30_000);
    expect(texts.at(-1)).toBe('_____30000');
  });
});

describe('short names', () => {
  const short = (...names: string[]) =>
    shortNames(names).map((name) => `${name.slice(0, 8)}.${name.slice(8)}`);

  test('a name of 8 and 3 characters is its own', () => {
    expect(short('README', 'A.B', 'autoexec.bat', "!#$%&'()", '@^_`{}~-.x')).toEqual([
      'README  .   ',
      'A       .B  ',
      'AUTOEXEC.BAT',
      "!#$%&'().   ",
      '@^_`{}~-.X  ',
    ]);
  });

  test('others get a number', () => {
    expect(short('a long name.text', 'a longer name.text', '.profile', 'a.b.c', 'a b', 'x+y.c')).toEqual([
      'ALONGN~1.TEX',
      'ALONGE~1.TEX',
      'PROFIL~1.   ',
      'AB~1    .C  ',
      'AB~1    .   ',
      'X_Y~1   .C  ',
    ]);
  });

  test('letters beyond ASCII are not taken for others', () => {
    expect(short('ſ', 'ß', 'ı', 'é.é', '日本.語')).toEqual([
      '_~1     .   ',
      '_~2     .   ',
      '_~3     .   ',
      '_~1     ._  ',
      '__~1    ._  ',
    ]);
  });

  test('a short name is never that of another file', () => {
    expect(short('longname one', 'LONGNA~1', 'longna~2', 'longname two')).toEqual([
      'LONGNA~3.   ',
      'LONGNA~1.   ',
      'LONGNA~2.   ',
      'LONGNA~4.   ',
    ]);
  });

  test('a long name is needed for all but capitals', () => {
    expect(['README', 'A.B', '~1'].map(needsLongName)).toEqual([false, false, false]);
    expect(['readme', 'A.b', 'README.TEXT', 'A B', 'A.', 'ſ', 'É', '.A'].map(needsLongName)).not.toContain(
      false,
    );
  });

  test('30 000 names that start alike are all different, in no time', () => {
    const names = Array.from({ length: 30_000 }, (_, i) => `photograph number ${i}.jpeg`);
    const result = shortNames(names);
    expect(new Set(result).size).toBe(30_000);
    expect(result[0]).toBe('PHOTOG~1JPE');
    expect(result[9]).toBe('PHOTO~10JPE');
    expect(result.at(-1)).toBe('PH~30000JPE');
  });

  test('any long names get short ones that are legal and differ', { timeout: 30_000 }, () => {
    const name = fc.oneof(
      fc.string({ unit: 'binary', minLength: 1, maxLength: 30 }),
      fc.string({
        unit: fc.constantFrom('a', 'b', 'A', '.', '~', '1', ' ', '+', 'é'),
        minLength: 1,
        maxLength: 14,
      }),
    );
    fc.assert(
      fc.property(fc.array(name, { maxLength: 40 }), (names) => {
        const long = longNames(utf8(...new Set(names.map((name) => name.replace(/[/\0]/g, '_'))))).map(
          ({ text }) => text,
        );
        const owners = new Map(long.map((text, i) => [foldCase(text), i]));
        const wrong = shortNames(long).filter((name, i) => {
          const base = name.slice(0, 8).trimEnd();
          const extension = name.slice(8).trimEnd();
          const whole = extension === '' ? base : `${base}.${extension}`;
          const owner = owners.get(whole) ?? i;
          owners.set(whole, i);
          return (
            owner !== i || name.length !== 11 || !LEGAL_BASE.test(base) || !LEGAL_EXTENSION.test(extension)
          );
        });
        expect(wrong).toEqual([]);
      }),
    );
  });
});

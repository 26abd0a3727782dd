import { describe, expect, test } from 'vitest';
import { parseArguments, UsageError, type Request } from '../src/cli/arguments.js';

const MIB = 1 << 20;

/** Of a copy from one file to another, unless other places are among the words. */
function parse(...words: readonly string[]): Request {
  const places = words.some((word) => !word.startsWith('-')) ? [] : ['from.img', 'to.img'];
  const request = parseArguments([...words, ...places]);
  if (typeof request === 'string') throw new Error(`it is ${request}`);
  return request;
}

function refusal(...words: readonly string[]): string {
  try {
    parse(...words);
  } catch (error) {
    expect(error).toBeInstanceOf(UsageError);
    return (error as Error).message;
  }
  throw new Error(`${words.join(' ')} was taken`);
}

test('two files are copied with everything as it is good for most', () => {
  expect(parse()).toEqual({
    source: { kind: 'path', path: 'from.img' },
    destination: { kind: 'path', path: 'to.img' },
    connections: 2,
    requests: 32,
    requestSize: MIB,
    synchronous: false,
    sparse: 4096,
    allocated: false,
    destinationIsZero: false,
    ignoreExtents: false,
    flush: true,
    verify: false,
    checksum: undefined,
    resume: undefined,
    progress: undefined,
    verbose: false,
  });
});

describe('places', () => {
  test.each([
    ['nbd://host/name', { kind: 'uri', uri: 'nbd://host/name' }],
    ['nbds+unix:///?socket=s', { kind: 'uri', uri: 'nbds+unix:///?socket=s' }],
    ['plugin:memory?1G', { kind: 'plugin', plugin: 'memory', words: ['1G'] }],
    ['plugin:data?a%26b&size=1M', { kind: 'plugin', plugin: 'data', words: ['a&b', 'size=1M'] }],
    ['plugin:./my%3Fplugin.js', { kind: 'plugin', plugin: './my?plugin.js', words: [] }],
    ['-', { kind: 'stdio' }],
    ['./null:', { kind: 'path', path: './null:' }],
  ])('%s', (word, place) => {
    expect(parse(word, 'to.img').source).toEqual(place);
  });

  test('commands stand in brackets, on both sides, and may have options of their own', () => {
    const { source, destination, verbose } = parse(
      ...['[', 'qemu-nbd', '-r', '--', 'a', ']', '-v', '[', 'nbdkit', '-v', ']'],
    );
    expect(source).toEqual({ kind: 'command', words: ['qemu-nbd', '-r', '--', 'a'] });
    expect(destination).toEqual({ kind: 'command', words: ['nbdkit', '-v'] });
    expect(verbose).toBe(true);
  });

  test('after -- all words are places', () => {
    expect(parseArguments(['--', '-', '--progress'])).toMatchObject({
      source: { kind: 'stdio' },
      destination: { kind: 'path', path: '--progress' },
    });
  });

  test.each([
    [['a'], 'not 1 word.'],
    [['a', 'b', 'c'], 'not 3 words'],
    [['', 'b'], 'an empty word names no disk'],
    [['null:', 'b'], 'null: is a destination'],
    [['[', 'nbdkit', 'b'], '[ has no ]'],
    [['[', ']', 'b'], '[ ] is empty'],
    [['plugin:', 'b'], 'plugin: names no plugin'],
    [['plugin:data?50%', 'b'], '"50%" has a % that is no escape; a % itself is %25'],
  ])('%j is refused', (words, why) => {
    expect(refusal(...words)).toContain(why);
  });
});

describe('what is under way at once', () => {
  test('more connections where a network may hold one up', () => {
    expect(parse('nbd://host', 'to.img')).toMatchObject({ connections: 4, requests: 16 });
    expect(parse('nbd+unix:///?socket=s', 'to.img')).toMatchObject({ connections: 2, requests: 32 });
    expect(parse('nbd://host', 'to.img', '-C', '1')).toMatchObject({ connections: 1, requests: 64 });
  });

  test('little, from what is there at once to a server on this machine', () => {
    const near = { requestSize: MIB / 2, requests: 4 };
    expect(parse('from.img', 'nbd+unix:///?socket=s')).toMatchObject(near);
    expect(parse('plugin:memory?1G', '[', 'nbdkit', 'memory', '1G', ']')).toMatchObject(near);
    expect(parse('from.img', 'nbd+unix:///?socket=s', '--request-size=1M').requests).toBe(2);
    const far = { requestSize: MIB };
    expect(parse('from.img', 'nbd://host')).toMatchObject({ ...far, requests: 16 });
    expect(parse('nbd+unix:///?socket=s', 'nbd+unix:///?socket=s')).toMatchObject({ ...far, requests: 32 });
    expect(parse('from.img', 'to.img')).toMatchObject({ ...far, requests: 32 });
  });

  test('64 MiB on all connections together, and not over the requests of each', () => {
    expect(parse('--connections=8').requests).toBe(8);
    expect(parse('--requests=3').requests).toBe(3);
    expect(parse('--request-size=64K').requests).toBe(64);
  });

  test('a queue size is that of each connection', () => {
    expect(parse('--connections=8', '--queue-size=32M').requests).toBe(32);
    expect(parse('--queue-size=1M', '--request-size=512K').requests).toBe(2);
  });

  test('one request at least, however large it is and however many connections', () => {
    expect(parse('--connections=64', '--request-size=32M')).toMatchObject({
      requests: 1,
      requestSize: 32 * MIB,
    });
  });

  test('--synchronous is one request on one connection', () => {
    expect(parse('--synchronous', '-C4', '-R8')).toMatchObject({ connections: 1, requests: 1 });
  });

  test.each([
    ['--connections=0', '--connections 0: it is a number from 1 to 64'],
    ['--connections=65', 'from 1 to 64'],
    ['--connections=two', 'from 1 to 64'],
    ['--requests=1025', 'from 1 to 1024'],
    ['--requests=1.5', 'from 1 to 1024'],
    ['--request-size=2K', 'it is from 4096 to 33554432 bytes'],
    ['--request-size=33M', 'it is from 4096 to 33554432 bytes'],
    ['--request-size=5000', 'it is a multiple of 4096'],
    ['--request-size=big', '--request-size'],
    ['--queue-size=512K', 'it is from 1048576 to 1073741824 bytes'],
  ])('%s is refused', (word, why) => {
    expect(refusal(word)).toContain(why);
  });
});

describe('options', () => {
  test.each<[string, Partial<Request>]>([
    ['--sparse=0', { sparse: 0 }],
    ['-S512', { sparse: 512 }],
    ['--sparse=1G', { sparse: 1 << 30 }],
    ['--allocated', { allocated: true }],
    ['--destination-is-zero', { destinationIsZero: true }],
    ['--target-is-zero', { destinationIsZero: true }],
    ['--no-extents', { ignoreExtents: true }],
    ['--no-flush', { flush: false }],
    ['--flush', { flush: true }],
    ['--verify', { verify: true }],
    ['--checksum', { checksum: 'tree' }],
    ['--checksum=sha256', { checksum: 'sha256' }],
    ['--resume=state', { resume: 'state' }],
    ['--progress', { progress: 'bar' }],
    ['-p', { progress: 'bar' }],
    ['--progress=json', { progress: 'json' }],
    ['--progress=5', { progress: 5 }],
    ['--no-progress', { progress: 'none' }],
    ['--threads=4', {}],
  ])('%s', (word, expected) => {
    expect(parse(word)).toMatchObject(expected);
  });

  test.each([
    ['--sparse=1000', 'it is 0, or a power of 2 from 512 to 1G'],
    ['--sparse=256', 'it is 0, or a power of 2 from 512 to 1G'],
    ['--sparse=2G', 'it is 0, or a power of 2 from 512 to 1G'],
    ['--checksum=md5', '--checksum=md5: it is tree or sha256'],
    ['--progress=loud', '--progress=loud: it is bar, json, none or the number of a file descriptor'],
    ['--fast', "Unknown option '--fast'"],
  ])('%s is refused', (word, why) => {
    expect(refusal(word)).toContain(why);
  });

  test.each([
    ['--help', 'help'],
    ['-h', 'help'],
    ['--version', 'version'],
    ['-V', 'version'],
  ])('%s needs no places', (word, asked) => {
    expect(parseArguments([word])).toBe(asked);
  });
});

import { execFile } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { TransmissionFlag } from '@nbd/protocol';
import { describe, expect, test, vi } from 'vitest';
import { parseArguments } from '../src/cli/arguments.js';
import { Bar } from '../src/cli/bar.js';
import { exactSize } from '../src/cli/describe.js';
import { toJson } from '../src/cli/json.js';
import { serveModel } from './model-server.js';
import { listen } from './net-server.js';
import { ALL_FLAGS, type ScriptedServer } from './scripted-server.js';

// Each test starts several processes, which a busy machine takes its time for.
vi.setConfig({ testTimeout: 60_000 });

const NBD_INFO = fileURLToPath(new URL('../bin/nbd-info.js', import.meta.url));
const ZEROES = fileURLToPath(new URL('programs/zeroes-server.js', import.meta.url));

const memory = new Uint8Array(4096).fill(1, 1024, 2048);

const serve = (server: ScriptedServer) =>
  serveModel(server, memory, {
    flags: ALL_FLAGS & ~TransmissionFlag.SEND_TRIM,
    blockSize: { minimum: 1, preferred: 512, maximum: 65536 },
    exports: [{ name: 'a', description: 'the\x1b[2Jfirst' }, { name: 'b' }],
  });

async function nbdInfo(...words: string[]): Promise<{ code: number; stdout: string; stderr: string }> {
  return new Promise((resolve) => {
    execFile(process.execPath, [NBD_INFO, ...words], (error, stdout, stderr) => {
      resolve({ code: (error?.code as number | undefined) ?? 0, stdout, stderr });
    });
  });
}

const FIELDS = `\tcontexts:
\t\tbase:allocation
\tis_rotational: false
\tis_read_only: false
\tcan_block_status_payload: false
\tcan_cache: true
\tcan_df: true
\tcan_fast_zero: true
\tcan_flush: true
\tcan_fua: true
\tcan_multi_conn: true
\tcan_trim: false
\tcan_zero: true
\tblock_size_minimum: 1
\tblock_size_preferred: 512
\tblock_size_maximum: 65536
`;

describe('nbd-info', () => {
  test("shows an export in nbdinfo's words", async () => {
    await using server = await listen(serve);
    expect(await nbdInfo(`${server.uri}/disk`)).toEqual({
      code: 0,
      stdout: `protocol: newstyle-fixed without TLS, using structured packets
export="disk":
\texport-size: 4096 (4 KiB)
\turi: ${server.uri}/disk
${FIELDS}`,
      stderr: '',
    });
  });

  test('shows all exports, and lets no server move the cursor', async () => {
    await using server = await listen(serve);
    const { stdout } = await nbdInfo('--list', server.uri);
    expect(stdout).toBe(`protocol: newstyle-fixed without TLS, using structured packets
export="a":
\texport-size: 4096 (4 KiB)
\tdescription: the\\x1b[2Jfirst
\turi: ${server.uri}/a
${FIELDS}export="b":
\texport-size: 4096 (4 KiB)
\turi: ${server.uri}/b
${FIELDS}`);
  });

  test('shows the same as JSON', async () => {
    await using server = await listen(serve);
    const { stdout } = await nbdInfo('--json', server.uri);
    expect(JSON.parse(stdout)).toEqual({
      protocol: 'newstyle-fixed',
      TLS: false,
      structured: true,
      extended: false,
      exports: [
        {
          'export-name': '',
          uri: `${server.uri}/`,
          contexts: ['base:allocation'],
          is_rotational: false,
          is_read_only: false,
          can_block_status_payload: false,
          can_cache: true,
          can_df: true,
          can_fast_zero: true,
          can_flush: true,
          can_fua: true,
          can_multi_conn: true,
          can_trim: false,
          can_zero: true,
          block_size_minimum: 1,
          block_size_preferred: 512,
          block_size_maximum: 65536,
          'export-size': 4096,
          'export-size-str': '4K',
        },
      ],
    });
    expect(JSON.parse((await nbdInfo('--json', '-L', server.uri)).stdout)).toMatchObject({
      exports: [{ 'export-name': 'a' }, { 'export-name': 'b' }],
    });
  });

  test('shows the size', async () => {
    await using server = await listen(serve);
    expect(await nbdInfo('--size', server.uri)).toEqual({ code: 0, stdout: '4096\n', stderr: '' });
  });

  test('shows the map, its totals and its picture', async () => {
    await using server = await listen(serve);
    const map = `         0        1024    3  hole,zero
      1024        1024    0  data
      2048        2048    3  hole,zero
`;
    expect((await nbdInfo('--map', server.uri)).stdout).toBe(map);
    const picture = await nbdInfo('--map', '--bar', server.uri);
    expect(picture.stdout.startsWith(map)).toBe(true);
    const [bar, legend] = picture.stdout.slice(map.length).split('\n');
    expect(bar).toMatch(/^▕·{19}[·░▒▓█]{21}·{38}▏$/);
    expect(legend).toMatch(/^ █ data {3}· none {3}each .* of 4 KiB$/);
    expect((await nbdInfo('--map', '--totals', server.uri)).stdout).toBe(`      1024  25.0%   0 data
      3072  75.0%   3 hole,zero
`);
    expect(JSON.parse((await nbdInfo('--map', '--json', server.uri)).stdout)).toEqual([
      { offset: 0, length: 1024, type: 3, description: 'hole,zero' },
      { offset: 1024, length: 1024, type: 0, description: 'data' },
      { offset: 2048, length: 2048, type: 3, description: 'hole,zero' },
    ]);
    expect(JSON.parse((await nbdInfo('--map', '--totals', '--json', server.uri)).stdout)).toEqual([
      { size: 1024, percent: 25, type: 0, description: 'data' },
      { size: 3072, percent: 75, type: 3, description: 'hole,zero' },
    ]);
  });

  test('a map that the server does not have is an error', async () => {
    await using server = await listen(serve);
    expect(await nbdInfo('--map=x:y', server.uri)).toMatchObject({
      code: 1,
      stdout: '',
      stderr: 'nbd-info: the server does not tell x:y; nbd-info SERVER lists what it tells\n',
    });
  });

  test('answers with 0 for yes, 2 for no and 1 for an error, and says nothing', async () => {
    await using server = await listen(serve);
    const code = async (...words: string[]) => {
      const { code, stdout, stderr } = await nbdInfo(...words, server.uri);
      expect([stdout, stderr]).toEqual(['', '']);
      return code;
    };
    expect(await code('--can', 'zero')).toBe(0);
    expect(await code('--can=trim')).toBe(2);
    expect(await code('--cannot', 'trim')).toBe(0);
    expect(await code('--is', 'read-only')).toBe(2);
    expect(await code('--isnt', 'tls')).toBe(0);
    expect(await code('--can', 'connect')).toBe(0);
    const { code: error, stderr } = await nbdInfo('--can', 'connect', 'nbd+unix:///?socket=/no/such/socket');
    expect(error).toBe(1);
    expect(stderr).toMatch(/^nbd-info: nbd\+unix:.*ENOENT/);
  });

  test('asks a server that it starts itself', async () => {
    const command = ['[', process.execPath, ZEROES, ']'];
    expect(await nbdInfo('--size', ...command)).toEqual({ code: 0, stdout: '1048576\n', stderr: '' });
    expect((await nbdInfo('--list', '--', ...command)).stdout).toMatch(
      /^protocol: .*simple packets\nexport="":\n/,
    );
    expect(await nbdInfo('[', process.execPath, ZEROES, 'fail', ']')).toMatchObject({
      code: 1,
      stderr: expect.stringContaining('there is no disk today') as string,
    });
  });

  test('says how it is used', async () => {
    expect((await nbdInfo('--help')).stdout).toMatch(/^nbd-info shows/);
    expect((await nbdInfo('--version')).stdout).toMatch(/^nbd-info \d+\.\d+\.\d+\n$/);
    expect(await nbdInfo()).toMatchObject({
      code: 1,
      stderr: expect.stringContaining('no server to ask') as string,
    });
  });

  test('whose reader stops reading ends quietly', async () => {
    const memory = new Uint8Array(1 << 20).map((_, i) => (i % 1024 === 0 ? 1 : 0));
    await using server = await listen((server) => serveModel(server, memory));
    const line = `"${process.execPath}" "${NBD_INFO}" --map "${server.uri}" | head -1`;
    const { stdout, stderr } = await new Promise<{ stdout: string; stderr: string }>((resolve) => {
      execFile('sh', ['-c', line], (_error, stdout, stderr) => {
        resolve({ stdout, stderr });
      });
    });
    expect([stdout, stderr]).toEqual(['         0         512    0  data\n', '']);
  });
});

test.each([
  [['--can'], /argument missing/],
  [['--can', 'fly', 'nbd://x'], /--can fly is not known/],
  [['--size', '--list', 'nbd://x'], /--list and --size do not go together/],
  [['--totals', 'nbd://x'], /go with --map/],
  [['nbd://x', 'nbd://y'], /nbd:\/\/y is one server too many/],
  [['nbd://x', '[', 'nbdkit', ']'], /one server too many/],
  [['[', 'nbdkit'], /no \]/],
  [['[', ']'], /is empty/],
  [['--frobnicate', 'nbd://x'], /Unknown option/],
])('%j makes no sense', (words, message) => {
  expect(() => parseArguments(words)).toThrow(message);
});

test('JSON has sizes above 2^53 as they are, and leaves text alone', () => {
  expect(toJson({ size: 9223372036854775807n, text: '"#1' })).toBe(
    '{\n  "size": 9223372036854775807,\n  "text": "\\"#1"\n}\n',
  );
});

test.each([
  [0n, '0'],
  [513n, '513'],
  [1048576n, '1M'],
  [2125119488n, '2075312K'],
  [7n << 60n, '7E'],
])('%d bytes are exactly %s', (size, text) => {
  expect(exactSize(size)).toBe(text);
});

test('a bar is darker where there is more data, on disks of any size', () => {
  const extent = (offset: bigint, length: bigint, flags: number) => ({
    ...{ offset, length, flags },
    ...{ hole: false, zero: false },
  });
  const bar = new Bar('base:allocation', 8n << 60n, 8);
  bar.add(extent(0n, 1n << 60n, 0));
  bar.add(extent(1n << 60n, 1n << 59n, 0));
  bar.add(extent((7n << 60n) + 1n, 1n, 0));
  bar.add(extent(2n << 60n, 1n << 60n, 3));
  expect(bar.lines()[0]).toBe('▕█▒·····░▏');
  const small = new Bar('qemu:dirty-bitmap:x', 2n, 4);
  small.add(extent(1n, 1n, 1));
  expect(small.lines()[0]).toMatch(/^▕··[·█]█▏$/);
  expect(new Bar('base:allocation', 0n, 3).lines()[0]).toBe('▕···▏');
});

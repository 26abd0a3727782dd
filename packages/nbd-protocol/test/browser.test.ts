import { readdir, readFile } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';
import { types } from 'node:util';
import vm from 'node:vm';
import { rolldown } from 'rolldown';
import { beforeAll, describe, expect, test } from 'vitest';
import type * as Protocol from '../src/index.js';

/** Browsers refuse to decode what another thread may be changing, which Node allows. */
class BrowserTextDecoder extends TextDecoder {
  override decode(bytes?: NodeJS.ArrayBufferView): string {
    if (types.isSharedArrayBuffer(bytes?.buffer)) throw new TypeError('the buffer is shared');
    return super.decode(bytes);
  }
}

const dist = fileURLToPath(new URL('../dist', import.meta.url));

describe('bundled for a browser', () => {
  let page: vm.Context;

  beforeAll(async () => {
    const bundle = await rolldown({ input: `${dist}/index.js`, platform: 'browser' });
    const { output } = await bundle.generate({ format: 'iife', name: 'protocol' });
    await bundle.close();
    // What the web platform gives, and none of the globals of Node.
    page = vm.createContext({ TextEncoder, TextDecoder: BrowserTextDecoder, URL });
    vm.runInContext(output[0].code, page);
  });

  test('a request, a name, a URI and a size make the round trip', () => {
    const result = vm.runInContext(`(${roundTrips.toString()})(protocol)`, page) as unknown;
    // The objects of the other context have other prototypes; their content is what counts.
    expect(structuredClone(result)).toEqual({
      request: {
        flags: 1,
        command: 6,
        cookie: 2n ** 64n - 1n,
        offset: 2n ** 63n - 1n,
        length: 2n ** 32n - 1n,
      },
      info: { name: 'gr\u00fc\u00dfe', infos: [3] },
      uri: 'nbds://[::1]/a%20b?tls-verify-peer=0',
      size: '7 EiB',
      refusal: 'EPROTO',
    });
  });

  test('names and messages are read from shared memory', () => {
    const read = (protocol: typeof Protocol): string => {
      const shared = new Uint8Array(new SharedArrayBuffer(2)).fill(0x61);
      return protocol.decodeString(shared) + protocol.decodeMessage(shared);
    };
    expect(vm.runInContext(`(${read.toString()})(protocol)`, page)).toBe('aaaa');
  });

  // Runs in the other context: it sees nothing of this file.
  function roundTrips(protocol: typeof Protocol): unknown {
    const bytes = new Uint8Array(protocol.REQUEST_SIZE);
    const request = {
      flags: 1,
      command: 6,
      cookie: 2n ** 64n - 1n,
      offset: 2n ** 63n - 1n,
      length: 2n ** 32n - 1n,
    };
    protocol.encodeRequest(bytes, 0, request);
    let refusal = '';
    try {
      protocol.decodeSimpleReply(bytes);
    } catch (error) {
      if (protocol.isNbdError(error)) refusal = error.code;
    }
    return {
      request: protocol.decodeRequest(bytes),
      info: protocol.decodeInfoRequest(protocol.encodeInfoRequest({ name: 'gr\u00fc\u00dfe', infos: [3] })),
      uri: protocol.formatUri(protocol.parseUri('nbds://[::1]:10809/a%20b?tls-verify-peer=false')),
      size: protocol.formatSize(protocol.parseSize('7E')),
      refusal,
    };
  }
});

test('the built files use nothing of Node', async () => {
  const names = (await readdir(dist, { recursive: true })).filter((name) => name.endsWith('.js'));
  expect(names).toContain('index.js');
  for (const name of names) {
    const code = await readFile(`${dist}/${name}`, 'utf8');
    expect(code, name).not.toMatch(
      /['"]node:|\bBuffer\.|\bprocess\.\w|\brequire\(|\bsetImmediate\b|\bglobal\.\w/,
    );
  }
});

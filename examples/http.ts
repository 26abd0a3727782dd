import { definePlugin, string } from '@nbd/plugin';
import { NbdError } from '@nbd/protocol';

/** A file on a web server as a disk. What is read of the disk is all that is downloaded. */
export default definePlugin({
  name: 'http',
  description: 'A file on a web server, read with range requests',
  parameters: {
    url: string({ required: true, positional: true, help: 'address of the file, http: or https:' }),
  },
  examples: ['./http.ts https://example.com/disk.img'],

  async setup({ url }) {
    const response = await ask(url, { method: 'HEAD', headers: PLAIN });
    if (!response.ok) throw new NbdError('ENOENT', `${url}: the server answers ${response.status}`);
    const length = response.headers.get('content-length');
    if (length === null || response.headers.get('accept-ranges') !== 'bytes') {
      throw new NbdError('ENOTSUP', `${url}: the server sends no parts of files (Accept-Ranges: bytes)`);
    }
    const etag = response.headers.get('etag');
    // A weak one says that two files mean the same, not that each of their bytes is.
    return { url, size: BigInt(length), etag: etag?.startsWith('"') ? etag : null };
  },

  open: (_request, { url, size, etag }) => ({
    size,
    info: { multiConn: true },

    async read(offset, into, options) {
      const range = `bytes=${offset}-${offset + BigInt(into.length) - 1n}`;
      const headers = { ...PLAIN, range, ...(etag !== null && { 'if-match': etag }) };
      const response = await ask(url, { headers, signal: options?.signal ?? null });
      if (response.status === 412) throw new NbdError('EIO', `${url} has changed since the server started`);
      const sent = response.headers.get('content-range');
      if (response.status !== 206 || !sent?.startsWith(range.replace('=', ' '))) {
        throw new NbdError(
          'EIO',
          `${url}: the answer to ${range} is ${response.status}, ${sent ?? 'a whole'}`,
        );
      }
      let filled = 0;
      try {
        for await (const chunk of response.body! as AsyncIterable<Uint8Array>) {
          if (filled + chunk.length > into.length) break;
          into.set(chunk, filled);
          filled += chunk.length;
        }
      } catch (error) {
        throw failure(url, error);
      }
      if (filled !== into.length) throw new NbdError('EIO', `${url}: ${filled} bytes for ${range}`);
    },
  }),
});

/** Offsets are those of the file, not of a compressed form of it. */
const PLAIN = { 'accept-encoding': 'identity' };

async function ask(url: string, init: RequestInit): Promise<Response> {
  try {
    return await fetch(url, init);
  } catch (error) {
    throw failure(url, error);
  }
}

/** What `fetch` and the body of its answer throw says why in its cause, if anywhere. */
function failure(url: string, error: unknown): NbdError {
  const { cause, message } = error as Error;
  return new NbdError('EIO', `${url}: ${cause instanceof Error ? cause.message : message}`, { cause: error });
}

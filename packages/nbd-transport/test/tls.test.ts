import { expect, test } from 'vitest';
import { beforeTls, CERTIFICATES, certificatePair, pskPair, REVOKED, STRANGER } from './tls-pairs.js';
import { psk } from './psk.js';
import type { Pair } from './pairs.js';

const both = { certificates: CERTIFICATES };

test('each side learns who the other is', async () => {
  const pair = await beforeTls({ ...both, verifyPeer: true }, both);
  expect(await pair.upgrade()).toEqual({
    server: { commonName: 'alice' },
    client: { commonName: 'localhost' },
  });
  await finish(pair);
});

test('a certificate that was not verified says nothing about the client', async () => {
  const pair = await beforeTls(both, both);
  expect((await pair.upgrade()).server).toEqual({});
  await finish(pair);
});

test('the server learns whose key it was', async () => {
  await using keys = psk({ alice: 'aa', bob: 'bb' });
  const pair = await beforeTls({ psk: keys.file }, { psk: keys.file, username: 'bob' });
  expect((await pair.upgrade()).server).toEqual({ pskIdentity: 'bob' });
  await finish(pair);
});

test('a server with certificates and keys takes clients with either', async () => {
  await using keys = psk({ alice: 'aa' });
  const server = { ...both, psk: keys.file, verifyPeer: true };
  const withKey = await beforeTls(server, { psk: keys.file });
  expect((await withKey.upgrade()).server).toEqual({ pskIdentity: 'alice' });
  await finish(withKey);
  const withCertificate = await beforeTls(server, both);
  expect((await withCertificate.upgrade()).server).toEqual({ commonName: 'alice' });
  await finish(withCertificate);
});

test('a server with certificates and keys refuses a client with neither, or with a wrong key', async () => {
  await using keys = psk({ alice: 'aa' });
  await using wrong = psk({ alice: 'bb' });
  const server = { ...both, psk: keys.file, verifyPeer: true };
  await refused(
    await beforeTls(server, { certificates: STRANGER, verifyPeer: false }),
    'right',
    /certificate/,
  );
  await refused(await beforeTls(server, { psk: wrong.file }), 'right');
});

test('a server that is certified by another authority is refused', async () => {
  await refused(await beforeTls({ certificates: STRANGER }, both), 'left');
});

test('a server whose certificate is for another name is refused', async () => {
  await refused(await beforeTls(both, { ...both, hostname: 'nbd.example.com' }), 'left', /nbd\.example\.com/);
  await refused(await beforeTls(both, { ...both, hostname: '127.0.0.2' }), 'left', /127\.0\.0\.2/);
});

test('a server is found good under its address', async () => {
  const pair = await beforeTls(both, { ...both, hostname: '127.0.0.1' });
  await pair.upgrade();
  await finish(pair);
});

test('a client takes any certificate only when told so', async () => {
  const pair = await beforeTls({ certificates: STRANGER }, { ...both, verifyPeer: false });
  expect((await pair.upgrade()).client).toEqual({});
  await finish(pair);
});

test('a client that another authority has certified is refused', async () => {
  await refused(
    await beforeTls({ ...both, verifyPeer: true }, { certificates: STRANGER, verifyPeer: false }),
    'right',
  );
});

test('a client whose certificate was revoked is refused', async () => {
  await refused(await beforeTls({ certificates: REVOKED, verifyPeer: true }, both), 'right', /certificate/);
});

test('a client with the wrong key is refused', async () => {
  await using right = psk({ alice: 'aa' });
  await using wrong = psk({ alice: 'bb' });
  await refused(await beforeTls({ psk: right.file }, { psk: wrong.file }), 'right');
});

test('a client that the server has no key for is refused', async () => {
  await using server = psk({ alice: 'aa' });
  await using client = psk({ mallory: 'aa' });
  await refused(await beforeTls({ psk: server.file }, { psk: client.file }), 'right');
});

test('a server that shows a certificate does not pass for one that knows the key', async () => {
  await using keys = psk({ alice: 'aa' });
  await refused(await beforeTls(both, { psk: keys.file }), 'left');
});

test('a server of keys does not let in a client with a certificate', async () => {
  await using keys = psk({ alice: 'aa' });
  await refused(await beforeTls({ psk: keys.file }, both), 'right');
});

test('a peer that goes away in the middle of the handshake is an error', async () => {
  const pair = await beforeTls(both, both);
  const upgrading = pair.right.transport.upgradeTls!();
  pair.left.transport.destroy();
  await expect(upgrading).rejects.toThrow();
  await pair.right.end;
  await pair.close();
});

test('destroying the transport ends a handshake that the peer does not answer', async () => {
  const pair = await beforeTls(both, both);
  const upgrading = pair.left.transport.upgradeTls!();
  pair.left.transport.destroy(new Error('it takes too long'));
  await expect(upgrading).rejects.toThrow();
  await pair.left.end;
  pair.right.transport.destroy();
  await pair.close();
});

test.each([certificatePair, pskPair])('nothing travels in the clear', async (makePair) => {
  const pair = await makePair();
  await pair.left.send(Buffer.from('secret'));
  await pair.right.has(6);
  expect(pair.right.bytes().toString()).toBe('secret');
  await finish(pair);
});

/** Both upgrade, and this side finds the other no good; no byte gets through. */
async function refused(
  pair: Awaited<ReturnType<typeof beforeTls>>,
  side: 'left' | 'right',
  reason = /./,
): Promise<void> {
  const [right, left] = await Promise.allSettled([
    pair.right.transport.upgradeTls!(),
    pair.left.transport.upgradeTls!(),
  ]);
  const outcome = side === 'left' ? left : right;
  expect(outcome.status).toBe('rejected');
  expect(String((outcome as PromiseRejectedResult).reason)).toMatch(reason);
  // In TLS 1.3 a client is done before the server has looked at its certificate: it learns of it at the end.
  await Promise.all([pair.left.end, pair.right.end]);
  expect(pair.right.bytes()).toHaveLength(0);
  await finish(pair);
}

async function finish(pair: Pair): Promise<void> {
  pair.left.transport.destroy();
  pair.right.transport.destroy();
  await Promise.all([pair.left.end, pair.right.end, pair.close()]);
}

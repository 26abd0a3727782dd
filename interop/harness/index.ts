export { GUESTFISH_TIMEOUT, guestfish } from './guestfish.js';
export { describeWith, has, type Peer } from './peers.js';
export { run, type RunOptions, type RunResult } from './run.js';
export { NBD_SERVE, serve, serveNbdkit, serveQemuNbd, type ServeOptions } from './serve.js';
export { startServer, type Place, type Server, type StartOptions } from './server.js';
export { collect, startChild, type Output } from './child.js';
export { temporaryDirectory, type TemporaryDirectory } from './temporary.js';
export { certificates, preSharedKeys, type Certificates, type PreSharedKeys } from './tls.js';
export { connectRaw, RawClient, type RawConnection } from './raw.js';

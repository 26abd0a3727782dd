export { nbdCopy } from './copy.js';
export { verification } from './fio.js';
export { GUESTFISH_TIMEOUT, guestfish } from './guestfish.js';
export { freePort } from './free-port.js';
export { mountWithNbdfuse } from './nbdfuse.js';
export { serveNbdServer } from './nbd-server.js';
export { commandOf, describeWith, has, trixiePlugin, type Peer } from './peers.js';
export { randomOperations, type RandomOperationsOptions } from './random-operations.js';
export { run, type RunOptions, type RunResult } from './run.js';
export { NBD_COPY, NBD_SERVE, serve, serveNbdkit, serveQemuNbd, type ServeOptions } from './serve.js';
export { startServer, type Place, type Server, type StartOptions } from './server.js';
export { collect, startChild, type Output } from './child.js';
export { temporaryDirectory, type TemporaryDirectory } from './temporary.js';
export { certificates, preSharedKeys, type Certificates, type PreSharedKeys } from './tls.js';
export { connectRaw, RawClient, type RawConnection } from './raw.js';
export {
  ATTW,
  HAS_REGISTRY,
  packAll,
  publishAll,
  PUBLINT,
  startRegistry,
  type Registry,
} from './registry.js';
export { userEnvironment } from './user-environment.js';

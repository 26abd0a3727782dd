export type { Attach } from './attach.js';
export { acceptSocket, connectSocket, type TlsUpgrade } from './socket.js';
export { releaseFreedMemory } from './release-freed-memory.js';
export { joinStreams } from './streams.js';
export {
  certificateDirectories,
  clientTlsOptions,
  serverTlsOptions,
  type ClientTlsFiles,
  type ServerTlsFiles,
} from './tls-options.js';
export { tlsClient, tlsServer } from './tls.js';

export type { Attach } from './attach.js';
export { acceptSocket, connectSocket, type TlsUpgrade } from './socket.js';
export { joinStreams } from './streams.js';
export { tlsClient, tlsServer } from './tls.js';

export {
  createServer,
  DEFAULT_SERVER_LIMITS,
  NbdServer,
  type ServerLimits,
  type ServerOptions,
  type ServerSource,
  type Twins,
} from './server.js';
export { Exports, pluginOf } from './session/exports.js';
export type { LesserServer, TlsMode } from './session/handshake.js';
export type { SessionLimits } from './session/limits.js';
export { ServerSession, type SessionOptions } from './session/session.js';

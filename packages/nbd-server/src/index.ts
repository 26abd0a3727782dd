export {
  createServer,
  DEFAULT_SERVER_LIMITS,
  NbdServer,
  type ServerLimits,
  type ServerOptions,
  type ServerSource,
} from './server.js';
export {
  Exports,
  pluginOf,
  ServerSession,
  type LesserServer,
  type SessionLimits,
  type SessionOptions,
  type TlsMode,
} from './session/index.js';

export { Exports, pluginOf } from './exports.js';
export type { LesserServer, TlsMode } from './handshake.js';
export { DEFAULT_LIMITS, type SessionLimits } from './limits.js';
export { ServerSession, type SessionOptions } from './session.js';

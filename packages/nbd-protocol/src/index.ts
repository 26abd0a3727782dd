export * from './device.js';
export * from './errors.js';
export * from './transport.js';

export { checkDevice, type CheckOptions } from './check-device.js';

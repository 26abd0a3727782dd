import type { BlockDevice } from './device.js';

/**
 * What to change of a device; a method or `info` that is given as undefined is taken away. Where `read` is changed,
 * `locate` goes with the old one.
 */
export type DeviceChanges = { readonly [K in keyof BlockDevice]?: BlockDevice[K] | undefined };

/**
 * `device` with some of it replaced, as a plain object. Devices may be of a class, with getters, private fields and
 * methods that need their `this`, which both a spread and a prototype chain would break.
 *
 * ```ts
 * const readOnly = overrideDevice(device, { write: undefined, zero: undefined, trim: undefined });
 * ```
 */
export function overrideDevice(device: BlockDevice, changes: DeviceChanges): BlockDevice {
  const result: Record<string, unknown> = { size: device.size, info: device.info };
  for (const name of METHODS) {
    if (name === 'locate' && 'read' in changes) continue;
    const method: unknown = Reflect.get(device, name);
    if (typeof method === 'function') result[name] = method.bind(device) as unknown;
  }
  Object.assign(result, changes);
  for (const [name, value] of Object.entries(changes))
    if (value === undefined) Reflect.deleteProperty(result, name);
  return result as unknown as BlockDevice;
}

const METHODS = ['read', 'locate', 'write', 'zero', 'trim', 'cache', 'flush', 'extents', 'close'] as const;

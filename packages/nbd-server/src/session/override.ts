import type { BlockDevice } from '@nbd/protocol';

/**
 * `device` with some methods replaced, as a plain object: a prototype chain would break devices with private fields.
 */
export function override(device: BlockDevice, methods: Partial<BlockDevice>): BlockDevice {
  return { ...bound(device), ...methods };
}

function bound(device: BlockDevice): BlockDevice {
  const copy: Record<string, unknown> = { size: device.size, info: device.info };
  for (const name of ['read', 'write', 'zero', 'trim', 'cache', 'flush', 'extents', 'close'] as const) {
    const method: unknown = Reflect.get(device, name);
    if (typeof method === 'function') copy[name] = method.bind(device) as unknown;
  }
  return copy as unknown as BlockDevice;
}

import { loadPlugin } from '@nbd/plugin/load';
import type { Destination, EndpointOptions, Source } from './endpoint.js';

/** A disk of a plugin in this process, found by the name that `nbd-serve` takes. */
export async function openPlugin(
  plugin: string,
  words: readonly string[],
  { log, readOnly }: EndpointOptions & { readonly readOnly: boolean },
): Promise<Source & Destination> {
  const cwd = process.cwd();
  const module = await loadPlugin(plugin, { cwd, beside: import.meta.url });
  const atWork = await module.fromArguments(words, { log, readOnly, cwd, env: process.env });
  const device = await opened(atWork.open({ exportName: '', readOnly }), () => atWork.close?.());
  const name = `plugin:${plugin}`;
  const close = async () => {
    await device.close?.();
    await atWork.close?.();
  };
  return {
    name,
    device,
    isZero: false,
    isStream: false,
    unfinished: name,
    finish: close,
    close,
    abandon: close,
  };
}

async function opened<T>(opening: T | Promise<T>, otherwise: () => unknown): Promise<T> {
  try {
    return await opening;
  } catch (error) {
    await otherwise();
    throw error;
  }
}

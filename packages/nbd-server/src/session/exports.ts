import { encodeString, NbdError, overrideDevice, type BlockDevice } from '@nbd/protocol';
import type { Connection, ExportInfo, Plugin } from '@nbd/plugin';
import { RangeLock } from './range-lock.js';
import { serveDevice, type ServedExport } from './served-export.js';

/**
 * The exports of a plugin, by the names that clients use. A plugin without a list of its own has one export, found
 * under the empty name and under `exportName`.
 */
export class Exports {
  readonly #plugin: Plugin;
  readonly #exportName: string;
  readonly #readOnly: boolean;
  readonly #locks = new SharedLocks();

  /** @throws NbdError EINVAL for an export name that the protocol has no place for */
  constructor(plugin: Plugin, options: { exportName?: string; readOnly?: boolean } = {}) {
    encodeString(options.exportName ?? '');
    this.#plugin = plugin;
    this.#exportName = options.exportName ?? '';
    this.#readOnly = options.readOnly ?? false;
  }

  get readOnly(): boolean {
    return this.#readOnly;
  }

  async list(connection: Connection): Promise<readonly ExportInfo[]> {
    return (await this.#plugin.exports?.(connection)) ?? [{ name: this.#exportName }];
  }

  /**
   * @param maximumPayload bytes
   * @throws NbdError ENOENT if there is no export of that name, and whatever the plugin throws
   */
  async open(name: string, connection: Connection, maximumPayload: number): Promise<ServedExport> {
    let canonicalName = name;
    let description: string | undefined;
    const listed = await this.#plugin.exports?.(connection);
    if (listed) {
      description = listed.find((one) => one.name === name)?.description;
    } else {
      if (name !== '' && name !== this.#exportName)
        throw new NbdError('ENOENT', `there is no export "${name}"`);
      canonicalName = this.#exportName;
    }
    const device = await this.#plugin.open({ ...connection, exportName: name });
    const lock = this.#locks.borrow(canonicalName);
    let closed = false;
    const close = async () => {
      if (closed) return;
      closed = true;
      this.#locks.giveBack(canonicalName);
      // A plugin that opens nothing is refused; there is nothing to close then.
      await (device as BlockDevice | undefined)?.close?.();
    };
    try {
      return serveDevice(device, {
        name,
        canonicalName,
        description,
        readOnly: this.#readOnly,
        maximumPayload,
        lock,
        close,
      });
    } catch (error) {
      await close();
      throw error;
    }
  }
}

/** One lock for each export that is open: unaligned writes are kept apart whatever connection they come from. */
class SharedLocks {
  readonly #entries = new Map<string, { lock: RangeLock; users: number }>();

  borrow(name: string): RangeLock {
    const entry = this.#entries.get(name) ?? { lock: new RangeLock(), users: 0 };
    entry.users++;
    this.#entries.set(name, entry);
    return entry.lock;
  }

  giveBack(name: string): void {
    const entry = this.#entries.get(name);
    if (entry && --entry.users === 0) this.#entries.delete(name);
  }
}

/** A plugin whose every connection has the same device, which is closed with the plugin. */
export function pluginOf(device: BlockDevice): Plugin {
  return {
    name: 'device',
    open: () => overrideDevice(device, { close: () => undefined }),
    ...(device.close && { close: device.close.bind(device) }),
  };
}

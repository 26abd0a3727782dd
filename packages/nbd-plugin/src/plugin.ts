import type { Awaitable, BlockDevice, TlsIdentity } from '@nbd/protocol';

/** A client's connection, as far as a plugin may know it. */
export interface Connection {
  /** The server was told to serve read-only: nothing will be written. */
  readonly readOnly: boolean;
  /** Who the client proved to be; absent on a connection without TLS. */
  readonly tls?: TlsIdentity;
  /** Where the client is, for messages: `127.0.0.1:40000`, `unix`. */
  readonly peer?: string;
}

/** A client asks for an export. */
export interface OpenRequest extends Connection {
  /** The name that the client asked for; the empty string is the default export. */
  readonly exportName: string;
}

/** An export in the list that a server gives to its clients. */
export interface ExportInfo {
  readonly name: string;
  /** One line for people. */
  readonly description?: string;
}

/** A plugin at work: set up with its parameters, ready to open disks. */
export interface Plugin {
  /** For messages: `plugin-floppy`. */
  readonly name: string;
  /**
   * The exports that this connection may see. A plugin without this method, or for which it gives undefined, has one
   * export, and the server decides under which names it is found.
   */
  exports?(connection: Connection): Awaitable<readonly ExportInfo[] | undefined>;
  /**
   * Opens an export, once a client asks for it and after TLS. The device is closed when the client is gone.
   * @throws NbdError ENOENT if there is no such export (plugins with several exports).
   */
  open(request: OpenRequest): Awaitable<BlockDevice>;
  /**
   * The words with which the same plugin, set up in another process while this one is at work, has the very same
   * content: what is written or flushed there is written or flushed here. A server may start such processes, to use
   * more of the machine. A plugin without this method, or for which it gives undefined, has content of its own, or
   * exports of a minimum block size above 1, which one process has to look after.
   */
  twin?(): readonly string[] | undefined;
  /** Called once, when the server ends, after every device was closed. */
  close?(): Awaitable<void>;
}

/** Where a plugin's messages go. One call is one line; the plugin's name is put in front. */
export interface Log {
  warn(message: string): void;
  info(message: string): void;
  /** Shown with `--verbose` only. */
  debug(message: string): void;
}

/** What a plugin is given to set itself up with. */
export interface PluginHost {
  readonly log: Log;
  /** The server serves read-only: nothing will be written. */
  readonly readOnly: boolean;
  /** Relative paths start here. */
  readonly cwd: string;
  readonly env: Readonly<Record<string, string | undefined>>;
}

import type { Log } from '@nbd/plugin';
import type { BlockDevice } from '@nbd/protocol';
import type { ByteSource } from '../engine/copy-stream.js';

/** Where a disk is, as a person writes it. */
export type Place =
  | { readonly kind: 'uri'; readonly uri: string }
  /** A server that is started for the copy. */
  | { readonly kind: 'command'; readonly words: readonly string[] }
  | { readonly kind: 'plugin'; readonly plugin: string; readonly words: readonly string[] }
  /** A file, block device, pipe, socket or character device. */
  | { readonly kind: 'path'; readonly path: string }
  | { readonly kind: 'stdio' }
  | { readonly kind: 'null' };

export interface EndpointOptions {
  /** Connections to an NBD server that allows several. */
  readonly connections: number;
  /** Requests and bytes under way on all of them together. */
  readonly window: { readonly requests: number; readonly bytes: number };
  /** Where the messages of plugins go. */
  readonly log: Log;
  /** Gives up opening. */
  readonly signal?: AbortSignal;
}

export interface DestinationOptions extends EndpointOptions {
  /** Of what will be copied to it, in bytes; undefined if that is not known before the end. */
  readonly size: bigint | undefined;
  /** What it must not be. */
  readonly source?: Pick<Source, 'identity'>;
  /**
   * Goes on with what an earlier copy has left: a file keeps what it has. It is called with the path of a file before
   * that is touched, and rejects if it is another one.
   */
  readonly resume?: (path: string) => Promise<void>;
}

interface Endpoint {
  /** For messages. */
  readonly name: string;
  /** The same for all names of one file or block device. */
  readonly identity?: string;
  /** Connections that it has, where it is at a server. */
  readonly connections?: number;
  /** Lets go of everything, servers that were started included. */
  close(): Promise<void>;
  /** Lets go of everything, without waiting for what is under way: that fails. */
  abandon(): Promise<void>;
}

/** What is copied from: a disk, or bytes that come in order. */
export type Source = Endpoint &
  (
    | { readonly device: BlockDevice; readonly stream?: undefined }
    | { readonly device?: undefined; readonly stream: ByteSource }
  );

/** What is copied to. */
export interface Destination extends Endpoint {
  readonly device: BlockDevice;
  /** All of it reads as zeroes. */
  readonly isZero: boolean;
  /** Nothing is gained by finding zeroes: they are bytes like others. */
  readonly isStream: boolean;
  /** What a copy that fails leaves behind; undefined for nothing. */
  readonly unfinished: string | undefined;
  /** Gives a file the size of the stream that was copied to it, before which it must not be read; in bytes. */
  setSize?(size: bigint): Promise<void>;
  /** Settles when the copy, of so many bytes, is there to stay under its name; `flush` as the user wishes. Closes it. */
  finish(size: bigint, options: { readonly flush: boolean }): Promise<void>;
}

import type { SelectedContext } from './meta-contexts.js';
import type { ServedExport } from './served-export.js';

/** What was agreed on: the transmission phase begins with it. */
export interface Agreement {
  readonly export: ServedExport;
  /** `TransmissionFlag` bits as they were sent. */
  readonly flags: number;
  /** Also set with extended headers, which include them. */
  readonly structuredReplies: boolean;
  readonly extendedHeaders: boolean;
  readonly contexts: readonly SelectedContext[];
  /** The client asked for the block sizes and is held to them. */
  readonly blockSizeKnown: boolean;
}

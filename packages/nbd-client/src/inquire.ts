import { dialAndConverse, type Dial, type DialOptions } from './dial.js';
import type { Dialogue, Voice } from './session/dialogue.js';
import type { Wishes } from './session/handshake.js';
import * as inquiries from './session/inquiries.js';

/** How to ask a server. */
export interface InquiryOptions extends Wishes, DialOptions {}

/**
 * Lists the exports of a server. Runs anywhere; in Node, `listExports` knows how to reach a server by its URI.
 * @throws NbdError as `openDisk` does; EACCES if the server does not tell, ENOTSUP if it is too old to be asked.
 */
export function listExportsOf(dial: Dial, options: InquiryOptions = {}): Promise<inquiries.ListedExport[]> {
  return inquire(dial, inquiries.listExports, options);
}

/**
 * Asks a server what it says of an export, without using it.
 * @throws NbdError as `openDisk` does.
 */
export function describeExportOf(
  dial: Dial,
  options: InquiryOptions = {},
): Promise<inquiries.ExportDescription> {
  return inquire(dial, inquiries.describeExport, options);
}

async function inquire<T>(
  dial: Dial,
  inquiry: (voice: Voice, wishes: Wishes) => Dialogue<T>,
  options: InquiryOptions,
): Promise<T> {
  const { session, result } = await dialAndConverse(dial, (voice) => inquiry(voice, options), options);
  session.end();
  return result;
}

import { describeExportOf, listExportsOf, type InquiryOptions } from './inquire.js';
import type { ExportDescription, ListedExport } from './session/inquiries.js';
import { resolveTarget, type Resolved, type Target, type TargetOptions } from './target.js';

/** Where a server is and how to ask it. */
export interface InfoOptions extends InquiryOptions, TargetOptions {}

/**
 * Asks a server what it says of an export, without using it. A captive server is left running.
 *
 * ```ts
 * const { size, blockSize, contexts } = await info('nbd://localhost/export');
 * ```
 *
 * @throws NbdError as `connect` does.
 */
export async function info(target: Target, options: InfoOptions = {}): Promise<ExportDescription> {
  const resolved = await resolveTarget(target, options);
  return asked(resolved, describeExportOf(resolved.dial, inquiry(resolved, options)));
}

/**
 * Lists the exports of a server; the export name in a URI does not matter. A captive server is left running.
 *
 * ```ts
 * for (const { name, description } of await listExports('nbd://localhost')) console.log(name, description);
 * ```
 *
 * @throws NbdError as `connect` does; EACCES if the server does not tell, ENOTSUP if it is too old to be asked.
 */
export async function listExports(target: Target, options: InfoOptions = {}): Promise<ListedExport[]> {
  const resolved = await resolveTarget(target, options);
  return asked(resolved, listExportsOf(resolved.dial, inquiry(resolved, options)));
}

function inquiry({ wishes, name }: Resolved, options: InfoOptions): InquiryOptions {
  return { name, ...options, ...wishes };
}

async function asked<T>({ server }: Resolved, answer: Promise<T>): Promise<T> {
  try {
    return await answer;
  } catch (error) {
    throw server ? server.explain(error) : error;
  }
}

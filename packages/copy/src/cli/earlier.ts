import type { Log } from '@nbd/plugin';
import type { Source } from '../endpoints/index.js';
import { destinationIdentity, sourceIdentity } from '../resume/identity.js';
import { checkSide } from '../resume/resumable.js';
import { readState, type State } from '../resume/state-file.js';
import type { Request } from './arguments.js';

/** What an earlier run has left, so that this one may go on with it. */
export async function readEarlier({ resume }: Request, log: Log): Promise<State | undefined> {
  if (resume === undefined) return undefined;
  const earlier = await readState(resume);
  if (earlier) log.info(`${resume} tells of an earlier copy: going on at offset ${earlier.done}`);
  return earlier;
}

/**
 * Checks both sides before the destination is touched: a file gets the size of the source when it is opened.
 * @returns what checks the destination's file
 * @throws NbdError EINVAL if the source is another one
 */
export async function checkEarlier(
  earlier: State,
  { device, name }: Source,
  request: Request,
): Promise<(path: string) => Promise<void>> {
  const file = request.resume!;
  const identity = await sourceIdentity(request.source);
  checkSide('source', name, earlier.source, { identity, size: device!.size }, file);
  return async (path) => {
    const identity = await destinationIdentity(request.destination, path);
    const { size } = earlier.destination;
    checkSide('destination', path, earlier.destination, { identity, size }, file);
  };
}

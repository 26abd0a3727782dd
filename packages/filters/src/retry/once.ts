import { isPromise, type Awaitable, type ExtentSink, type ReadOptions } from '@nbd/protocol';

/**
 * Tells of holes only once the read has succeeded: a try that failed may have told of some that the next one finds data
 * in.
 */
export function holesOnce(options: ReadOptions | undefined): {
  /** For the next try. */
  options(): ReadOptions | undefined;
  after(reading: Awaitable<void>): Awaitable<void>;
} {
  const sink = options?.holes;
  if (!sink) return { options: () => options, after: (reading) => reading };
  let seen: [offset: bigint, length: bigint][] = [];
  const tell = (): void => {
    for (const [offset, length] of seen) sink.add(offset, length);
  };
  return {
    options() {
      seen = [];
      return { ...options, holes: { add: (offset, length) => void seen.push([offset, length]) } };
    },
    after(reading) {
      if (isPromise(reading)) return reading.then(tell);
      tell();
    },
  };
}

/** What was told before a failure is told: extents may stop short. Nothing can be told twice. */
export function firstPart(sink: ExtentSink, tell: (part: ExtentSink) => Awaitable<void>): Awaitable<void> {
  let isTold = false;
  const enough = (error: unknown): void => {
    if (!isTold) throw error;
  };
  const part: ExtentSink = {
    add(length, flags) {
      isTold = true;
      return sink.add(length, flags);
    },
  };
  try {
    const telling = tell(part);
    return isPromise(telling) ? telling.catch(enough) : telling;
  } catch (error) {
    enough(error);
  }
}

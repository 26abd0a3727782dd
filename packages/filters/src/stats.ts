import { defineFilter, overridePlugin, type Filter } from '@nbd/plugin';
import { formatSize } from '@nbd/protocol';
import { COMMANDS, observeCalls, type CommandName } from './around-calls.js';

/** What became of all calls of one command. */
export interface CommandTotals {
  /** How many have settled. */
  readonly count: number;
  /** How many of them failed. */
  readonly failed: number;
  /** Bytes of those that did not. */
  readonly bytes: bigint;
  /** Milliseconds that all of them took; those side by side count each. */
  readonly milliseconds: number;
  /** Milliseconds of the slowest. */
  readonly slowest: number;
}

/** By command, those only that were called. */
export type Totals = ReadonlyMap<CommandName, CommandTotals>;

/** Counts what clients ask for, and tells at the end. */
export default defineFilter({
  name: 'stats',
  description: 'Counts requests, their bytes and their time, and tells at the end',
  examples: ['--filter=stats plugin-memory 1G'],
  setup: (_parameters, { log }) =>
    collectStats((totals, seconds) => {
      for (const line of report(totals, seconds)) log.info(line);
    }),
});

/**
 * A filter that counts calls on all connections, for programs.
 *
 * ```ts
 * const counted = collectStats((totals) => console.log(totals.get('read')?.bytes))(plugin);
 * ```
 *
 * @param done is told when the plugin is closed; seconds are counted from the first call.
 */
export function collectStats(done: (totals: Totals, seconds: number) => void): Filter {
  return (inner) => {
    const totals = new Map<CommandName, CommandTotals>();
    let started: number | undefined;
    return overridePlugin(inner, {
      async open(request) {
        return observeCalls(await inner.open(request), ({ command, length, milliseconds, failure }) => {
          started ??= performance.now() - milliseconds;
          const before = totals.get(command) ?? NOTHING;
          totals.set(command, {
            count: before.count + 1,
            failed: before.failed + (failure ? 1 : 0),
            bytes: before.bytes + (failure ? 0n : length),
            milliseconds: before.milliseconds + milliseconds,
            slowest: Math.max(before.slowest, milliseconds),
          });
        });
      },
      async close() {
        try {
          await inner.close?.();
        } finally {
          done(totals, started === undefined ? 0 : (performance.now() - started) / 1000);
        }
      },
    });
  };
}

const NOTHING: CommandTotals = { count: 0, failed: 0, bytes: 0n, milliseconds: 0, slowest: 0 };

/** `read: 120 requests, 4.0 MiB (2.0 MiB/s), 0.123 ms on average, 4.5 ms at most`. */
function report(totals: Totals, seconds: number): string[] {
  if (totals.size === 0) return ['no requests'];
  const lines = COMMANDS.flatMap((command) => {
    const total = totals.get(command);
    if (!total) return [];
    const { count, failed, bytes, milliseconds, slowest } = total;
    const speed = seconds > 0 ? ` (${formatSize(Math.round(Number(bytes) / seconds))}/s)` : '';
    const parts = [
      `${count} ${count === 1 ? 'request' : 'requests'}`,
      ...(failed > 0 ? [`${failed} failed`] : []),
      ...(command === 'flush' ? [] : [`${formatSize(bytes)}${speed}`]),
      `${(milliseconds / count).toFixed(3)} ms on average`,
      `${slowest.toFixed(3)} ms at most`,
    ];
    return [`${command}: ${parts.join(', ')}`];
  });
  return [...lines, `in ${seconds.toFixed(1)} s from the first request on`];
}

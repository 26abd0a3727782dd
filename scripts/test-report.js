import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { ROOT } from './set-up.js';

/** Where `npm test` leaves vitest's report. */
export const REPORT = join(ROOT, 'test-report.json');

/**
 * @typedef {{ status: string, title: string, ancestorTitles: readonly string[] }} Test
 * @typedef {{ testResults: readonly { status: string, assertionResults: readonly Test[] }[] }} Report
 */

/**
 * What the last run of the tests came to, or undefined if it left no report. A file that could not be loaded counts as
 * one failed test: its tests are not in the report.
 */
export function readReport() {
  if (!existsSync(REPORT)) return undefined;
  /** @type {Report} */
  const { testResults } = JSON.parse(readFileSync(REPORT, 'utf8'));
  const counts = { passed: 0, failed: 0, skipped: 0 };
  /** @type {Map<string, number>} how many tests were skipped for which reason */
  const skips = new Map();
  for (const { status, assertionResults } of testResults) {
    const failed = assertionResults.filter((test) => test.status === 'failed').length;
    const passed = assertionResults.filter((test) => test.status === 'passed').length;
    counts.passed += passed;
    counts.failed += status === 'failed' ? Math.max(failed, 1) : failed;
    counts.skipped += assertionResults.length - passed - failed;
    for (const test of assertionResults) {
      if (test.status === 'passed' || test.status === 'failed') continue;
      const reason = reasonOf(test);
      skips.set(reason, (skips.get(reason) ?? 0) + 1);
    }
  }
  return { ...counts, skips };
}

/**
 * Titles of tests that are skipped for what the machine lacks end in `(needs …)`.
 *
 * @param {Test} test
 */
function reasonOf({ title, ancestorTitles }) {
  const reasons = [title, ...ancestorTitles].map((words) => /\((needs .+)\)$/.exec(words)?.[1]);
  return reasons.find((reason) => reason !== undefined) ?? 'no reason given';
}

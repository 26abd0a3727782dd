// Prints the result of a run of `.ci/run` as its last line: the tests by vitest's report, and each other step that
// failed (its name is an argument) as one failure. Exits with 1 if anything failed.
import { readReport } from './test-report.js';

const failedSteps = process.argv.slice(2);
const report = readReport() ?? { passed: 0, failed: 0, skipped: 0 };

let failed = report.failed;
for (const step of failedSteps) {
  // The tests may also fail without a failed test in the report: by an error outside of every test, or on the way there.
  if (step === 'tests' && report.failed > 0) continue;
  console.log(`Failed: ${step}`);
  failed++;
}
const skipped = report.skipped > 0 ? `, ${report.skipped} skipped` : '';
console.log(`${report.passed} passed, ${failed} failed${skipped}`);
process.exitCode = failed > 0 ? 1 : 0;

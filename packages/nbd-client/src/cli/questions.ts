import { featuresOf } from '../features.js';
import type { ExportDescription } from '../session/inquiries.js';

/** What `--can` and `--is` may ask, and where the answer is. */
const ANSWERS = {
  'block-status-payload': ({ flags }) => featuresOf(flags).blockStatusPayload,
  cache: ({ flags }) => featuresOf(flags).cache,
  connect: () => true,
  df: ({ flags }) => featuresOf(flags).df,
  'extended-headers': ({ extendedHeaders }) => extendedHeaders,
  'fast-zero': ({ flags }) => featuresOf(flags).fastZero,
  flush: ({ flags }) => featuresOf(flags).flush,
  fua: ({ flags }) => featuresOf(flags).fua,
  'multi-conn': ({ flags }) => featuresOf(flags).multiConn,
  read: () => true,
  'read-only': ({ flags }) => featuresOf(flags).readOnly,
  rotational: ({ flags }) => featuresOf(flags).rotational,
  'structured-reply': ({ structuredReplies }) => structuredReplies,
  tls: ({ tls }) => tls !== undefined,
  trim: ({ flags }) => featuresOf(flags).trim,
  write: ({ flags }) => !featuresOf(flags).readOnly,
  zero: ({ flags }) => featuresOf(flags).zero,
} satisfies Record<string, (described: ExportDescription) => boolean>;

export type Question = keyof typeof ANSWERS;

export function isQuestion(text: string): text is Question {
  return Object.hasOwn(ANSWERS, text);
}

export function answer(question: Question, described: ExportDescription): boolean {
  return ANSWERS[question](described);
}

import { isNbdError, OptionReply } from '@nbd/protocol';

/** An option is answered with an error. Protocol document, "Option reply types". */
export class OptionRefusal extends Error {
  override readonly name = 'OptionRefusal';
  /** One of the `OptionReply.ERR_…`. */
  readonly type: number;

  constructor(type: number, why: string) {
    super(why);
    this.type = type;
  }
}

/** What to tell the client of an error in answering it, or undefined for one that is not its business. */
export function asRefusal(error: unknown): OptionRefusal | undefined {
  if (error instanceof OptionRefusal) return error;
  if (!isNbdError(error)) return undefined;
  const type = REFUSALS[error.code];
  return type === undefined ? undefined : new OptionRefusal(type, error.message);
}

/** EPROTO comes from the decoders of option data; the others from plugins. */
const REFUSALS: Readonly<Record<string, number>> = {
  EPROTO: OptionReply.ERR_INVALID,
  ENOENT: OptionReply.ERR_UNKNOWN,
  EPERM: OptionReply.ERR_POLICY,
  EACCES: OptionReply.ERR_POLICY,
  ESHUTDOWN: OptionReply.ERR_SHUTDOWN,
};

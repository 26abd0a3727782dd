/**
 * One parameter of a plugin: how it is read, checked and explained. Made by `size()`, `path()`, `choice()` and the
 * like.
 *
 * @typeParam Value - what the plugin gets
 * @typeParam Given - what `create()` takes; with `undefined` in it, the parameter may be left out
 */
export interface Parameter<Value, Given = Value> {
  /** What people write after `KEY=`, for help and messages: `SIZE`, `mbr|none`. */
  readonly type: string;
  /** One line for people, with the limits that the value has. */
  readonly help: string;
  readonly required: boolean;
  /** Its value may be given without `KEY=`. */
  readonly positional: boolean;
  /** It may be given several times: a list. */
  readonly repeatable: boolean;
  /** What the plugin gets if nobody gives it. */
  readonly default: Value | undefined;

  /**
   * The value of the words given for it: what follows `KEY=`, more than one word only if it is repeatable.
   * @throws NbdError EINVAL, with a message that says which word is wrong and why.
   */
  parse(words: readonly string[], given: GivenAs): Value;
  /**
   * The value of what was given to `create()`.
   * @throws NbdError EINVAL
   */
  check(value: Given, given: GivenAs): Value;
  /** The value as it is written on a command line. */
  format(value: Value): string;
}

/** Under which name a parameter was given, and where relative paths start. */
export interface GivenAs {
  readonly name: string;
  readonly cwd: string;
}

/** A plugin's parameters by name, in the order of `--help`. */
export type Parameters = Readonly<Record<string, Parameter<unknown>>>;

/** What a plugin with these parameters gets. */
export type ParameterValues<P extends Parameters> = {
  readonly [K in keyof P]: P[K] extends Parameter<infer Value, infer _> ? Value : never;
};

/** What `create()` takes for these parameters. */
export type GivenValues<P extends Parameters> = {
  readonly [K in keyof P as undefined extends Given<P[K]> ? never : K]: Given<P[K]>;
} & {
  readonly [K in keyof P as undefined extends Given<P[K]> ? K : never]?: Given<P[K]>;
};

type Given<T> = T extends Parameter<infer _, infer G> ? G : never;

import type { Dial } from './dial.js';
export interface CaptiveServer {
  readonly dial: Dial;
  readonly name: string;
  readonly single: boolean;
  stop(): Promise<void>;
}
export function isCaptiveServer(target: object): target is CaptiveServer {
  return 'dial' in target;
}

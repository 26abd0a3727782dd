import { NbdError } from '@nbd/protocol';
import type { Place } from './endpoint.js';

/**
 * What a word of the command line means, or the words of a command in brackets.
 *
 * ```ts
 * parsePlace('plugin:sparse-random?size=1T&seed=1');
 * parsePlace(['qemu-nbd', '-f', 'qcow2', 'disk.qcow2']);
 * ```
 *
 * @throws NbdError EINVAL for what has no meaning
 */
export function parsePlace(text: string | readonly string[]): Place {
  if (typeof text !== 'string') {
    if (text.length === 0)
      throw new NbdError('EINVAL', '[ ] is empty; write a command that starts a server in it');
    return { kind: 'command', words: text };
  }
  if (text === '') throw new NbdError('EINVAL', 'an empty word names no disk');
  if (text === '-') return { kind: 'stdio' };
  if (text === 'null:') return { kind: 'null' };
  if (/^nbds?(\+\w+)?:/.test(text)) return { kind: 'uri', uri: text };
  if (text.startsWith('plugin:')) return parsePlugin(text);
  return { kind: 'path', path: text };
}

/** `plugin:NAME?key=value&key=value`, with the escapes of URIs; a word without `=` is positional. */
function parsePlugin(text: string): Place {
  const [, plugin = '', query = ''] = /^plugin:([^?]*)\??(.*)$/s.exec(text)!;
  if (plugin === '') throw new NbdError('EINVAL', `${text} names no plugin; write plugin:NAME?key=value`);
  const words = query === '' ? [] : query.split('&').map((word) => unescape(word, text));
  return { kind: 'plugin', plugin: unescape(plugin, text), words };
}

function unescape(word: string, text: string): string {
  try {
    return decodeURIComponent(word);
  } catch {
    throw new NbdError('EINVAL', `${text}: "${word}" has a % that is no escape; a % itself is %25`);
  }
}

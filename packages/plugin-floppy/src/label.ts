import { NbdError } from '@nbd/protocol';

/**
 * A volume's label as the disk has it: 11 characters in capitals, padded with spaces.
 * @throws NbdError EINVAL for what DOS does not allow in one.
 */
export function volumeLabel(text: string): string {
  if (!/^[\x20-\x7e]{1,11}$/.test(text) || /^ |["*+,./:;<=>?[\\\]|]/.test(text)) {
    throw new NbdError(
      'EINVAL',
      `label=${text} is not a label of FAT: that is 1 to 11 ASCII characters, none of "*+,./:;<=>?[\\]|`,
    );
  }
  return text.toUpperCase().padEnd(11);
}

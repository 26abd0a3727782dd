export { randomBlocks, repeatedByte } from './content';
export { jump, walk } from './lanes';

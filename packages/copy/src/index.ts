export { copy, type CopyOptions, type Progress } from './engine/copy.js';

export { default as cow } from './cow.js';
export { default as delay } from './delay.js';
export { default as error } from './error.js';
export { default as log } from './log.js';
export { default as noextents } from './noextents.js';
export { default as offset } from './offset.js';
export { default as partition } from './partition.js';
export { collectStats, default as stats, type CommandTotals, type Totals } from './stats.js';
export { default as truncate } from './truncate.js';

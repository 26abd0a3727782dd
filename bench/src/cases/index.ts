import type { Case } from '../case.js';
import { RANDOM_IO } from './random-io.js';
import { SERVER } from './server.js';

export const CASES: readonly Case[] = [...SERVER, ...RANDOM_IO];

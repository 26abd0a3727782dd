import type { Case } from '../case.js';
import { CLIENT } from './client.js';
import { COPY } from './copy.js';
import { RANDOM_IO } from './random-io.js';
import { SERVER } from './server.js';
import { START } from './start.js';
import { TLS } from './tls.js';

export const CASES: readonly Case[] = [...SERVER, ...TLS, ...RANDOM_IO, ...CLIENT, ...COPY, ...START];

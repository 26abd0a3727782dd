import { fuzzCommand } from '../../../nbd-server/test/fuzz/fuzz-command.js';
import { fuzzSession } from './fuzz-session.js';

await fuzzCommand(fuzzSession);

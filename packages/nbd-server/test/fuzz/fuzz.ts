import { fuzzCommand } from './fuzz-command.js';
import { fuzzSession } from './fuzz-session.js';

await fuzzCommand(fuzzSession);

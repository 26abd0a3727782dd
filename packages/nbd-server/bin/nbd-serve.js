#!/usr/bin/env node
import { main } from '../dist/cli/main.js';

await main(process.argv.slice(2));
// Ends by itself, unless a plugin has left a timer or a socket behind.
setTimeout(() => process.exit(), 1000).unref();

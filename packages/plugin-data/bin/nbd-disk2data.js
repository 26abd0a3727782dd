#!/usr/bin/env node
import { main } from '../dist/disk-to-data/cli.js';

await main(process.argv.slice(2));

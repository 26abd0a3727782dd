// A process that serves the same as the one that has started it, and gets its connections from there.
import type { Socket } from 'node:net';
import { stderrLog } from './cli/log.js';
import { serverOf } from './cli/set-up.js';
import type { FromTwin, Task, ToTwin } from './twins.js';

// A terminal sends them to all its processes. The first one tells this one when to end.
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.on(signal, () => undefined);

process.once('message', (first: ToTwin) => {
  if (typeof first !== 'object') return;
  serve(first.task).catch((error: unknown) => {
    process.stderr.write(`nbd-serve: ${error instanceof Error ? error.message : String(error)}\n`);
    process.exit(1);
  });
});

async function serve(task: Task): Promise<void> {
  const log = stderrLog(task.verbose, 'nbd-serve: ');
  // What there is to say of setting up, the first process has said.
  const silent = { warn: () => undefined, info: () => undefined, debug: () => undefined };
  const server = await serverOf(task, { log, pluginLog: silent });
  const end = () => {
    // Nothing else is to be waited for.
    void server.close().finally(() => process.exit());
  };
  process.on('message', (message: ToTwin, socket?: Socket) => {
    if (message === 'close') end();
    if (message !== 'serve') return;
    tell('connection');
    // The client may have left meanwhile, and the socket with it.
    if (socket) server.accept(socket);
    else tell('disconnection');
  });
  server.on('disconnection', () => {
    tell('disconnection');
  });
  process.on('disconnect', end);
  tell('ready');
}

function tell(message: FromTwin): void {
  if (process.connected) process.send!(message, undefined, undefined, () => undefined);
}

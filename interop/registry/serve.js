// An npm registry of its own, for one test: it keeps @nbd packages in DIRECTORY and takes all others from UPSTREAM.
// Prints its address once it listens on a free port of 127.0.0.1.
import { runServer } from 'verdaccio';

const [directory, upstream] = process.argv.slice(2);

const app = await runServer({
  storage: directory,
  configPath: directory,
  self_path: directory,
  web: { enable: false },
  auth: { htpasswd: { file: `${directory}/htpasswd`, max_users: -1 } },
  uplinks: { upstream: { url: upstream } },
  packages: {
    '@nbd/*': { access: '$all', publish: '$all' },
    '**': { access: '$all', proxy: 'upstream' },
  },
  max_body_size: '100mb',
  log: { type: 'stdout', format: 'json', level: 'error' },
});
app.listen(0, '127.0.0.1', () => {
  console.log(`registry at http://127.0.0.1:${app.address().port}/`);
});

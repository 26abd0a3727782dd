import { definePlugin, size, string, type PluginHost } from '@nbd/plugin';
import { SparseStore } from '@nbd/plugin/store';
import { NbdError, type Awaitable } from '@nbd/protocol';
import { deviceOver } from './device.js';
import { decodeBase64, diskOfBytes, diskOfData, resize, type Disk } from './disk.js';

export { diskToData, type DiskToDataOptions } from './disk-to-data/disk-to-data.js';

/** A disk written as a string; its README is the reference of the language. */
export default definePlugin({
  name: 'data',
  description: 'A disk written as a string',
  parameters: {
    data: string({ positional: true, help: "the disk in the data language: '0 1 2 3 @0x1fe 0x55 0xaa'" }),
    base64: string({ help: 'the disk in base64' }),
    raw: string({ help: 'the disk, as it is' }),
    size: size({ help: 'size of the disk: cuts it off, or adds a hole' }),
    'script-limit': size({ default: 64n << 20n, help: 'most bytes that one script or device file may give' }),
  },
  rest: { help: 'the content of $KEY in the data language' },
  examples: [
    `plugin-data '0 1 2 3 @0x1fe 0x55 0xaa'`,
    `plugin-data '("hello ")*1000000000000'`,
    `plugin-data '$pattern*16' pattern='0x55 0xAA' size=1M`,
    `plugin-data base64=aGVsbG8= size=512`,
  ],

  async setup(parameters, host) {
    const disk = await describedBy(parameters, host);
    const content = resize(disk.content, parameters.size ?? disk.content.length);
    const store = new SparseStore(content.length, {
      backing: {
        read: (offset, into) => content.read(offset, into),
        extents: (offset, length, sink) => void content.extents(offset, length, sink),
      },
    });
    return { store, close: () => disk.close() };
  },

  open: (_request, { store }) => deviceOver(store),

  close: ({ close }) => close(),
});

interface Description {
  readonly data?: string | undefined;
  readonly base64?: string | undefined;
  readonly raw?: string | undefined;
  readonly 'script-limit': bigint;
  readonly rest: ReadonlyMap<string, string>;
}

function describedBy({ data, base64, raw, rest, ...limits }: Description, host: PluginHost): Awaitable<Disk> {
  if ([data, base64, raw].filter((given) => given !== undefined).length !== 1) {
    throw new NbdError('EINVAL', 'give the disk as one of data=, base64= and raw=');
  }
  if (data !== undefined) {
    const variables = (name: string): string | undefined => rest.get(name) ?? host.env[name];
    return diskOfData(data, variables, { cwd: host.cwd, env: host.env, limit: limits['script-limit'] });
  }
  const [unused] = rest.keys();
  if (unused !== undefined) throw new NbdError('EINVAL', `${unused}= means something only with data=`);
  return diskOfBytes(base64 === undefined ? new TextEncoder().encode(raw) : decodeBase64(base64));
}

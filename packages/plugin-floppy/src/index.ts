import { boolean, choice, definePlugin, path, string } from '@nbd/plugin';
import { parseCapacity } from './capacity.js';
import { deviceOf } from './device.js';
import { FileReader } from './files.js';
import { volumeLabel } from './label.js';
import { layOut } from './layout.js';
import { PARTITION_START } from './mbr.js';
import { scanTree } from './scan.js';
import { sectionsOf } from './sections.js';

/** A directory as a read-only FAT disk. Nothing is copied: what is on the disk is computed where it is read. */
export default definePlugin({
  name: 'floppy',
  description: 'A directory as a FAT disk',
  parameters: {
    dir: path({ required: true, positional: true, help: 'the directory whose files are on the disk' }),
    label: string({ default: 'NBD-FLOPPY', help: "the volume's label: up to 11 characters" }),
    size: string({
      help: 'size of the disk, or +SIZE for this much free space (default: what the files take)',
    }),
    partition: choice(['mbr', 'none'], {
      default: 'mbr',
      help: 'one partition at 1 MiB, or no partition table',
    }),
    format: choice(['auto', 'fat12', 'fat16', 'fat32'], { default: 'auto', help: 'auto goes by the size' }),
    utc: boolean({ default: false, help: 'dates of UTC instead of the local time zone' }),
  },
  examples: [
    'plugin-floppy /dir',
    'plugin-floppy /dir size=+100M',
    'plugin-floppy /dir partition=none size=1440K',
  ],

  async setup({ dir, label: text, size, partition, format, utc }, { log }) {
    const warn = (message: string) => {
      log.warn(message);
    };
    const label = volumeLabel(text);
    const capacity = parseCapacity(size);
    const start = partition === 'mbr' ? PARTITION_START : 0;
    const tree = await scanTree(dir, warn);
    const layout = layOut(tree, { label, capacity, type: TYPES[format], start, utc }, warn);
    const files = new FileReader(layout.files, warn);
    const sections = sectionsOf(layout, start, label, files);
    return { sections, files, description: `${label.trimEnd()} (FAT${layout.geometry.type})` };
  },

  open: (_request, { sections, description }) => deviceOf(sections, description),

  close({ files }) {
    files.close();
  },
});

const TYPES = { auto: undefined, fat12: 12, fat16: 16, fat32: 32 } as const;

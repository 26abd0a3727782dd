import { definePlugin, size } from '@nbd/plugin';

export default definePlugin({
  name: 'my-disk',
  description: 'Bytes that count up',
  parameters: { size: size({ default: 1n << 20n, positional: true, help: 'size of the disk' }) },
  open: (_request, { size }) => ({
    size,
    read(offset, into) {
      for (let i = 0; i < into.length; i++) into[i] = Number(offset & 0xffn) + i;
    },
  }),
});

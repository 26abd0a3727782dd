import { MAX_DEVICE_SIZE } from '@nbd/protocol';
import { Bytes } from './content/bytes.js';
import { Canvas } from './content/canvas.js';
import type { Content } from './content/content.js';
import { repeat } from './content/repeat.js';
import { slice } from './content/slice.js';
import type { Inputs } from './inputs/read-inputs.js';
import type { Expression, List, Offset, Slice } from './language/expression.js';
import { errorAt, type Place } from './language/source.js';

/**
 * Finds out where everything lies that an expression writes.
 * @throws NbdError EINVAL for names that stand for nothing, slices and offsets out of bounds, and sizes over 2^63 - 1.
 */
export function layOut(expression: Expression, inputs: Inputs): Content {
  return new Layout(inputs).of(expression);
}

class Layout {
  private readonly inputs: Inputs;
  /** An expression may be used many times. */
  private readonly done = new Map<Expression, Content>();

  constructor(inputs: Inputs) {
    this.inputs = inputs;
  }

  of(expression: Expression): Content {
    const known = this.done.get(expression);
    if (known !== undefined) return known;
    const content = this.make(expression);
    this.done.set(expression, content);
    return content;
  }

  private make(expression: Expression): Content {
    switch (expression.kind) {
      case 'bytes':
        return new Bytes(expression.bytes);
      case 'list':
        return this.list(expression);
      case 'repeat': {
        const inner = this.of(expression.inner);
        if (inner.length === 0n) return inner;
        checkSize(inner.length * expression.count, expression.place);
        return repeat(inner, expression.count);
      }
      case 'slice':
        return this.slice(expression);
      case 'file':
      case 'script':
        return this.inputs.get(expression)!;
      case 'unknown-name':
        throw errorAt(expression.place, expression.message);
    }
  }

  private list({ items, place }: List): Content {
    const canvas = new Canvas();
    let offset = 0n;
    let size = 0n;
    let near = place;
    for (const item of items) {
      if (item.kind === 'assignment') continue;
      if ('place' in item) near = item.place;
      if (item.kind === 'offset') {
        offset = moved(offset, item);
      } else {
        const content = this.of(item);
        canvas.write(offset, content);
        offset += content.length;
      }
      checkSize(offset, near);
      if (offset > size) size = offset;
    }
    return canvas.finish(size);
  }

  private slice({ inner, from, to, place }: Slice): Content {
    const content = this.of(inner);
    const end = to ?? content.length;
    if (end > content.length || from > content.length) {
      throw errorAt(
        place,
        `expected a slice of what is before it, which is ${String(content.length)} bytes long`,
      );
    }
    if (from > end) throw errorAt(place, 'expected a slice that ends after it begins');
    return slice(content, from, end - from);
  }
}

function moved(offset: bigint, { move, amount, place }: Offset): bigint {
  switch (move) {
    case 'to':
      return amount;
    case 'forward':
      return offset + amount;
    case 'back':
      if (amount > offset) {
        throw errorAt(
          place,
          `expected at most @-${String(offset)} at offset ${String(offset)}: there is nothing before 0`,
        );
      }
      return offset - amount;
    case 'align':
      return (offset + amount - 1n) & -amount;
  }
}

function checkSize(size: bigint, place: Place): void {
  if (size > MAX_DEVICE_SIZE)
    throw errorAt(place, 'what is here ends beyond 2^63 - 1, the most bytes that a disk can have');
}

import { describe, expect, test } from 'vitest';
import {
  ErrorValue,
  errorFromWire,
  errorToWire,
  isNbdError,
  NbdError,
  type NbdErrorCode,
} from '../src/index.js';

describe('to the wire', () => {
  const expected: Record<NbdErrorCode, number> = {
    EPERM: 1,
    EACCES: 1,
    EROFS: 1,
    EIO: 5,
    ENOMEM: 12,
    EINVAL: 22,
    ENOSPC: 28,
    EDQUOT: 28,
    EFBIG: 28,
    EOVERFLOW: 75,
    ENOTSUP: 95,
    ESHUTDOWN: 108,
    EBUSY: 5,
    ECANCELED: 5,
    ECONNREFUSED: 5,
    ECONNRESET: 5,
    EEXIST: 5,
    EISDIR: 5,
    ENODEV: 5,
    ENOENT: 5,
    ENOTDIR: 5,
    EPIPE: 5,
    EPROTO: 5,
    ETIMEDOUT: 5,
  };

  test.each(Object.entries(expected))('%s is %i', (code, value) => {
    expect(errorToWire(new NbdError(code as NbdErrorCode, 'x'))).toBe(value);
  });

  test.each([
    ['an error of the system', Object.assign(new Error('x'), { code: 'ENOSPC' })],
    ['a TypeError', new TypeError('x')],
    ['a string', 'ENOSPC'],
    ['nothing', undefined],
    ['null', null],
    [
      'an NbdError with the name of a method for its code',
      Object.assign(new NbdError('EIO', 'x'), { code: 'toString' }),
    ],
  ])('%s is EIO', (_what, error) => {
    expect(errorToWire(error)).toBe(ErrorValue.EIO);
  });
});

test.each(Object.entries(ErrorValue))('%s comes back from the wire', (code, value) => {
  expect(errorFromWire(value)).toBe(code);
  expect(errorToWire(new NbdError(errorFromWire(value), 'x'))).toBe(value);
});

test.each([2, 99, 0xffff_ffff])('the unexpected value %i is EINVAL', (value) => {
  expect(errorFromWire(value)).toBe('EINVAL');
});

test('an NbdError tells what, where and why', () => {
  const cause = new Error('medium error');
  const error = new NbdError('EIO', 'read failed', { cause, offset: 4096n });
  expect(error).toMatchObject({
    name: 'NbdError',
    code: 'EIO',
    message: 'read failed',
    cause,
    offset: 4096n,
  });
  expect(String(error)).toBe('NbdError: read failed');
  expect(isNbdError(error)).toBe(true);
  expect(isNbdError(cause)).toBe(false);
  expect('cause' in new NbdError('EIO', 'x')).toBe(false);
});

test('an NbdError of another copy of this package is recognised', () => {
  const brand = Symbol.for('@nbd/protocol:NbdError');
  expect(isNbdError(Object.assign(new Error('x'), { code: 'ENOSPC', [brand]: true }))).toBe(true);
});

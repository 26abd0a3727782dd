import { checkExtentsAt } from './check-extents.js';
import { Model } from './model.js';
import { operationsOf } from './operations.js';
import { spoken } from './subject.js';
import type { Subject } from './subject.js';

/** Writes, zeroes and trims one by one; what the models hold must be there after each of them. */
export async function checkWrites(subject: Subject, models: readonly Model[], rounds: number): Promise<void> {
  const { ranges, random } = subject;
  const operations = operationsOf(subject);
  for (const operation of operations) {
    const model = random.pick(models);
    await fill(subject, model);
    for (const range of ranges.placesIn(model.range)) {
      await operation.run(subject, model, range);
      await model.check(subject, operation.name + spoken(range));
    }
    await checkAllExtents(subject, model);
  }
  for (let round = 0; round < rounds; round++) {
    const model = random.pick(models);
    const range = ranges.within(model.range);
    const operation = random.pick(operations);
    await operation.run(subject, model, range);
    if (random.oneIn(8)) await subject.flush();
    // Mostly the part that was changed, sometimes all: an offset gone wrong may end far away.
    await checkModels([subject], random.oneIn(8) ? models : [model], operation.name + spoken(range));
    if (random.oneIn(4)) await checkAllExtents(subject, model);
  }
  await subject.flush();
  await checkModels([subject], models, 'the last operation and a flush');
}

/**
 * Operations under way at once, on ranges that do not touch each other. With several devices over the same content
 * (`multiConn`), a flush on one shows the writes of all on each.
 */
export async function checkConcurrentWrites(
  subjects: readonly Subject[],
  models: readonly Model[],
  rounds: number,
): Promise<void> {
  const { ranges, random } = subjects[0]!;
  const operations = operationsOf(subjects[0]!);
  for (let round = 0; round < rounds; round++) {
    const model = random.pick(models);
    const underWay = ranges.pieces(model.range, 16).map(async (range) => {
      const subject = random.pick(subjects);
      if (random.oneIn(3)) await model.checkRange(subject, range, 'while operations elsewhere are under way');
      else await random.pick(operations).run(subject, model, range);
    });
    for (const result of await Promise.allSettled(underWay)) {
      if (result.status === 'rejected') throw result.reason;
    }
    await random.pick(subjects).flush();
    for (const subject of subjects) await model.check(subject, 'operations that were under way at once');
  }
  await checkModels(subjects, models, 'operations that were under way at once');
}

/** Compares all that the models hold with each of the devices. */
export async function checkModels(
  subjects: readonly Subject[],
  models: readonly Model[],
  what: string,
): Promise<void> {
  for (const subject of subjects) {
    for (const model of models) await model.check(subject, what);
  }
}

/** Parts of the device that are written to: its start and end, some place, and another 2^32 bytes further. */
export async function modelsOf(subject: Subject, length: number): Promise<Model[]> {
  const { ranges, random } = subject;
  const unit = BigInt(ranges.unit);
  const wanted = BigInt(Math.max(length, 4 * ranges.unit)) / unit;
  const units = wanted * unit < ranges.end ? wanted : ranges.end / unit;
  const last = ranges.end / unit - units;
  const place = random.belowBig(last + 1n);
  const models: Model[] = [];
  for (const start of [0n, last, place, place + (1n << 32n) / unit]) {
    const offset = start * unit;
    const size = units * unit;
    const apart = models.every(({ range }) => offset + size <= range.offset || offset >= range.offset + size);
    if (start <= last && apart) models.push(await Model.of(subject, { offset, length: Number(size) }));
  }
  return models;
}

/** Writes data all over a part, for what is lost to show. */
async function fill(subject: Subject, model: Model): Promise<void> {
  for (const piece of subject.ranges.pieces(model.range)) {
    const bytes = subject.random.bytes(piece.length);
    model.set(piece, bytes);
    await subject.write(piece, bytes);
  }
  await model.check(subject, `write${spoken(model.range)}, in pieces`);
}

async function checkAllExtents(subject: Subject, { range }: Model): Promise<void> {
  if (subject.device.extents) await checkExtentsAt(subject, range.offset, BigInt(range.length));
}

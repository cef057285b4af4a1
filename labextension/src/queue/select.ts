// Filtering and sorting of tasks for a table. Pure, in slices, between which the page can do other work.

import { StateCode } from '../link/messages';
import type { Batch } from '../link/messages';
import type { Queue } from '../link/model';
import { baseName, oneLine, plainText } from './format';

export type SortKey = 'id' | 'state' | 'name' | 'owner' | 'worker' | 'attempts' | 'elapsed' | 'submitted' | 'priority';

export interface Criteria {
  /** Words, each of which must occur in the name, label, owner or message, or begin the id. */
  readonly text: string;
  /** Empty: all. */
  readonly states: ReadonlySet<StateCode>;
  /** A notebook or script; `null`: all. */
  readonly owner: string | null;
  readonly sort: SortKey;
  readonly isDescending: boolean;
}

export const ALL: Criteria = { text: '', states: new Set(), owner: null, sort: 'state', isDescending: false };

// rows of one slice; they take about 1 ms
const SLICE = 8192;

// states in the order of interest: unfinished tasks first, then failures
const STATE_ORDER: Readonly<Record<StateCode, number>> = {
  [StateCode.RUNNING]: 0,
  [StateCode.SCHEDULED]: 1,
  [StateCode.WAITING]: 2,
  [StateCode.FAILED]: 3,
  [StateCode.ABORTED]: 4,
  [StateCode.SUCCEEDED]: 5
};

// queued tasks stand in the order in which they start, all others with the newest first
const NEXT_FIRST: ReadonlySet<StateCode> = new Set([StateCode.SCHEDULED, StateCode.WAITING]);

/** Return the name of a batch's tasks: their own, or that of their code. */
export function nameOf(batch: Batch | undefined): string {
  return oneLine(batch?.name ?? batch?.label) || 'unnamed';
}

/** Whether a first click on the column sorts it with the largest first: numbers and times do, words do not. */
export function startsDescending(key: SortKey): boolean {
  return key !== 'name' && key !== 'owner' && key !== 'worker' && key !== 'state';
}

/** Return the owners of all tasks, sorted. */
export function ownersOf(queue: Queue): string[] {
  const owners = new Set<string>();
  for (const batch of queue.batches) if (batch.owner) owners.add(batch.owner);
  return [...owners].sort();
}

/** Return the places of the matching tasks, in order. Yields between slices; starts again if tasks move meanwhile. */
export function* select(queue: Queue, criteria: Criteria, wall: number): Generator<void, Int32Array> {
  for (;;) {
    const shape = queue.shape;
    const places = yield* filterPlaces(queue, criteria, shape);
    const sorted = places && (yield* sortPlaces(queue, places, criteria, wall, shape));
    if (sorted) return sorted;
  }
}

/** Return the same without slices. */
export function selectNow(queue: Queue, criteria: Criteria, wall: number): Int32Array {
  const slices = select(queue, criteria, wall);
  for (;;) {
    const slice = slices.next();
    if (slice.done) return slice.value;
  }
}

function* filterPlaces(queue: Queue, criteria: Criteria, shape: number): Generator<void, Int32Array | null> {
  const test = yield* makeTextTest(queue, criteria);
  if (queue.shape !== shape) return null;
  const { states, batches, ids } = queue.columns;
  const last = queue.n; // tasks that are added meanwhile belong to the next list
  const found = new Int32Array(last);
  const passes = makeStateTest(criteria.states);
  let n = 0;
  for (let from = 0; from < last; from += SLICE) {
    const end = Math.min(from + SLICE, last);
    for (let place = from; place < end; place++) {
      if (passes[states[place]!] === 0) continue;
      if (test === null || test(batches[place]!, ids[place]!)) found[n++] = place;
    }
    yield;
    if (queue.shape !== shape) return null;
  }
  return found.subarray(0, n);
}

function makeStateTest(states: ReadonlySet<StateCode>): Uint8Array {
  const passes = new Uint8Array(256);
  for (const state of Object.values(StateCode)) passes[state] = states.size === 0 || states.has(state) ? 1 : 0;
  return passes;
}

type Test = (batch: number, taskid: number) => boolean;

/** Return the test for text and owner, or `null` if there is none. Each batch is searched once, here. */
function* makeTextTest(queue: Queue, criteria: Criteria): Generator<void, Test | null> {
  const words = plainText(criteria.text).toLowerCase().split(/\s+/).filter(Boolean);
  const owner = criteria.owner;
  if (words.length === 0 && owner === null) return null;
  // bit i: the batch has word i; bit 31: it has another owner
  const found = new Uint32Array(queue.batches.length);
  const searched = words.slice(0, 30);
  for (let at = 0; at < found.length; at++) {
    const batch = queue.batches[at];
    if (batch === undefined) break;
    found[at] = findWords(textOf(batch), searched) | (owner !== null && (batch.owner ?? '') !== owner ? 1 << 31 : 0);
    if (at % 1024 === 1023) yield;
  }
  const all = 2 ** searched.length - 1;
  const digits = searched.map(word => (/^\d+$/.test(word) ? word : null));
  const hasDigits = digits.some(Boolean);
  return (batch, taskid) => {
    let bits = batch < 0 ? (owner === null ? 0 : 1 << 31) : found[batch]!;
    if (bits >>> 31) return false;
    if (bits === all) return true;
    if (hasDigits) {
      const id = String(taskid);
      digits.forEach((word, at) => (bits |= word !== null && id.startsWith(word) ? 1 << at : 0));
    }
    if (bits === all) return true;
    const message = queue.notes.get(taskid)?.message;
    return message !== undefined && (bits | findWords(message.toLowerCase(), searched)) === all;
  };
}

function findWords(text: string, words: readonly string[]): number {
  return words.reduce((bits, word, at) => (text.includes(word) ? bits | (1 << at) : bits), 0);
}

const texts = new WeakMap<Batch, string>();

function textOf(batch: Batch): string {
  let text = texts.get(batch);
  if (text === undefined) {
    text = oneLine(`${batch.name ?? ''} ${batch.label} ${batch.owner ?? ''}`, 1000).toLowerCase();
    texts.set(batch, text);
  }
  return text;
}

function* sortPlaces(
  queue: Queue,
  places: Int32Array,
  criteria: Criteria,
  wall: number,
  shape: number
): Generator<void, Int32Array | null> {
  if (criteria.sort === 'id') return criteria.isDescending ? places.slice().reverse() : places.slice();
  if (criteria.sort === 'state') return sortByState(queue, places, criteria.isDescending);
  const keyOf = yield* makeKey(queue, criteria.sort, wall);
  if (queue.shape !== shape) return null;
  // a key and its row in one number: numbers are sorted in native code, and the row keeps the order of equal keys
  const bits = 2 ** Math.ceil(Math.log2(Math.max(2, places.length)));
  const highest = 2 ** 52 / bits;
  const packed = new Float64Array(places.length);
  for (let from = 0; from < places.length; from += SLICE) {
    const end = Math.min(from + SLICE, places.length);
    for (let row = from; row < end; row++) {
      const key = keyOf(places[row]!);
      // unknown keys come last in both directions; of equal keys, the newest comes first
      const inOrder = Number.isNaN(key) ? highest - 1 : clamp(criteria.isDescending ? -key : key, highest);
      packed[row] = (inOrder + highest) * bits + (places.length - 1 - row);
    }
    yield;
    if (queue.shape !== shape) return null;
  }
  packed.sort();
  yield;
  if (queue.shape !== shape) return null;
  const sorted = new Int32Array(packed.length);
  for (let row = 0; row < packed.length; row++) sorted[row] = places[places.length - 1 - (packed[row]! % bits)]!;
  return sorted;
}

/** Sort by state, with a counting sort: this is the default order, and it has to be fast. */
function sortByState(queue: Queue, places: Int32Array, isDescending: boolean): Int32Array {
  const { states } = queue.columns;
  const order = Object.values(StateCode).sort((a, b) => STATE_ORDER[a] - STATE_ORDER[b]);
  if (isDescending) order.reverse();
  const counts = new Int32Array(256);
  for (let row = 0; row < places.length; row++) counts[states[places[row]!]!]!++;
  const next = new Int32Array(256);
  let begin = 0;
  for (const state of order) {
    next[state] = NEXT_FIRST.has(state) ? begin + counts[state]! - 1 : begin;
    begin += counts[state]!;
  }
  const sorted = new Int32Array(places.length);
  for (let row = places.length - 1; row >= 0; row--) {
    const state = states[places[row]!]! as StateCode;
    sorted[next[state]!] = places[row]!;
    next[state]! += NEXT_FIRST.has(state) ? -1 : 1;
  }
  return sorted;
}

function clamp(key: number, highest: number): number {
  return Math.max(-highest, Math.min(highest - 2, Math.round(key)));
}

/** Return the function that gives the sort key of a place, a whole number; NaN: unknown. */
function* makeKey(queue: Queue, sort: SortKey, wall: number): Generator<void, (place: number) => number> {
  const { workers, attempts, batches } = queue.columns;
  const unknown = (value: number, isKnown: boolean): number => (isKnown ? value : NaN);
  switch (sort) {
    case 'worker':
      return place => unknown(workers[place]!, workers[place]! >= 0);
    case 'attempts':
      return place => attempts[place]!;
    case 'priority':
      return place => queue.priorityAt(place);
    case 'elapsed':
      return place => queue.elapsedAt(place, wall) * 1000;
    case 'submitted': {
      const ranks = yield* ranksBy(
        queue.batches,
        batch => batch.submitted ?? 0,
        (a, b) => a - b
      );
      return place => unknown(ranks[batches[place]!]!, (queue.batchAt(place)?.submitted ?? 0) > 0);
    }
    case 'name': {
      const ranks = yield* ranksBy(queue.batches, batch => nameOf(batch).toLowerCase(), compareText);
      return place => ranks[batches[place]!] ?? NaN;
    }
    case 'owner': {
      const ranks = yield* ranksBy(queue.batches, batch => baseName(batch.owner ?? '').toLowerCase(), compareText);
      return place => ranks[batches[place]!] ?? NaN;
    }
    default:
      return place => queue.idAt(place);
  }
}

function compareText(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0;
}

/** Return the rank of each batch; equal values have equal ranks. A merge sort, so that it can pause. */
function* ranksBy<Value>(
  batches: readonly Batch[],
  valueOf: (batch: Batch) => Value,
  compare: (a: Value, b: Value) => number
): Generator<void, Int32Array> {
  const values: Value[] = [];
  const runs: Int32Array[] = [];
  for (let from = 0; from < batches.length; from += 1024) {
    const end = Math.min(from + 1024, batches.length);
    for (let at = from; at < end; at++) values.push(valueOf(batches[at]!));
    const run = Int32Array.from({ length: end - from }, (_, at) => from + at);
    runs.push(run.sort((a, b) => compare(values[a]!, values[b]!)));
    yield;
  }
  while (runs.length > 1) {
    runs.push(yield* mergeRuns(runs.shift()!, runs.shift()!, (a, b) => compare(values[a]!, values[b]!)));
  }
  const ranks = new Int32Array(batches.length);
  let rank = 0;
  runs[0]?.forEach((batch, at, order) => {
    if (at > 0 && compare(values[order[at - 1]!]!, values[batch]!) !== 0) rank++;
    ranks[batch] = rank;
  });
  return ranks;
}

function* mergeRuns(
  a: Int32Array,
  b: Int32Array,
  compare: (a: number, b: number) => number
): Generator<void, Int32Array> {
  const all = new Int32Array(a.length + b.length);
  let inA = 0;
  let inB = 0;
  for (let at = 0; at < all.length; at++) {
    const takesA = inB >= b.length || (inA < a.length && compare(a[inA]!, b[inB]!) <= 0);
    all[at] = takesA ? a[inA++]! : b[inB++]!;
    if (at % SLICE === SLICE - 1) yield;
  }
  return all;
}

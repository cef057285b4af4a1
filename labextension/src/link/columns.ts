// The facts of many tasks, a column for each. Pure.

/** A column for each fact. All are as long as `capacity`; places from `n` on are free. */
export class Columns {
  readonly ids: Float64Array;
  readonly states: Uint8Array;
  readonly workers: Float64Array;
  readonly attempts: Uint32Array;
  readonly started: Float64Array;
  readonly completed: Float64Array;
  readonly seconds: Float32Array;
  /** Place of its batch in `Queue.batches`; -1: not received yet. */
  readonly batches: Int32Array;

  constructor(readonly capacity: number) {
    this.ids = new Float64Array(capacity);
    this.states = new Uint8Array(capacity);
    this.workers = new Float64Array(capacity);
    this.attempts = new Uint32Array(capacity);
    this.started = new Float64Array(capacity);
    this.completed = new Float64Array(capacity);
    this.seconds = new Float32Array(capacity);
    this.batches = new Int32Array(capacity);
  }

  /** Copy places `from` up to `end` of another one to `at`. */
  copy(other: Columns, from: number, end: number, at: number): void {
    this.ids.set(other.ids.subarray(from, end), at);
    this.states.set(other.states.subarray(from, end), at);
    this.workers.set(other.workers.subarray(from, end), at);
    this.attempts.set(other.attempts.subarray(from, end), at);
    this.started.set(other.started.subarray(from, end), at);
    this.completed.set(other.completed.subarray(from, end), at);
    this.seconds.set(other.seconds.subarray(from, end), at);
    this.batches.set(other.batches.subarray(from, end), at);
  }

  /** Set places `from` up to `end` to this state, and all other facts to none. */
  reset(from: number, end: number, state: number): void {
    this.states.fill(state, from, end);
    this.workers.fill(-1, from, end);
    this.attempts.fill(0, from, end);
    this.started.fill(0, from, end);
    this.completed.fill(0, from, end);
    this.seconds.fill(0, from, end);
  }
}

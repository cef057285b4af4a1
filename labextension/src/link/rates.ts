// Counts of task ends in each of the last seconds, from totals that only grow. Pure: the clock is an argument.

import type { QueueDelta, QueueSnapshot } from './messages';

/** Number of seconds shown. */
export const RATE_SECONDS = 60;

export class Rates {
  // one for each second, by its number modulo the length
  private readonly ends = new Float64Array(RATE_SECONDS + 1);
  /** The second that is counted now, by its number. */
  private second = 0;
  private nEnded = -1;
  private incarnation = -1;

  /** Apply a message. */
  apply(message: QueueSnapshot | QueueDelta): void {
    const second = Math.floor(message.wall);
    const nEnded = message.counts.n_ended ?? 0;
    if (message.type === 'snapshot') this.begin(message, second, nEnded);
    this.advanceTo(second);
    if (this.nEnded >= 0 && nEnded > this.nEnded) this.add(second, nEnded - this.nEnded);
    this.nEnded = nEnded;
  }

  /** Return the ends in each of the last `RATE_SECONDS` whole seconds, oldest first. `wall`: the controller's clock. */
  read(wall: number): readonly number[] {
    const last = Math.floor(wall) - 1;
    const read: number[] = [];
    for (let second = last - RATE_SECONDS + 1; second <= last; second++) read.push(this.at(second));
    return read;
  }

  /** Return the ends per second, over the last `seconds` whole ones. */
  mean(wall: number, seconds = 10): number {
    const last = this.read(wall).slice(-seconds);
    return last.reduce((sum, ends) => sum + ends, 0) / seconds;
  }

  private begin(snapshot: QueueSnapshot, second: number, nEnded: number): void {
    const isContinued = snapshot.incarnation === this.incarnation && nEnded >= this.nEnded;
    this.incarnation = snapshot.incarnation;
    if (snapshot.ends.length === 0 && isContinued) return;
    this.ends.fill(0);
    this.second = second;
    // the last number is of the current second
    const counted = snapshot.ends.slice(-RATE_SECONDS - 1);
    counted.forEach((ends, at) => this.add(second - counted.length + 1 + at, ends));
    this.nEnded = nEnded;
  }

  private advanceTo(second: number): void {
    const from = Math.max(this.second + 1, second - RATE_SECONDS);
    for (let each = from; each <= second; each++) this.ends[each % this.ends.length] = 0;
    this.second = Math.max(this.second, second);
  }

  private add(second: number, ends: number): void {
    if (second <= this.second - this.ends.length || second < 0) return;
    this.ends[second % this.ends.length]! += ends;
  }

  private at(second: number): number {
    const isKept = second >= 0 && second <= this.second && second > this.second - this.ends.length;
    return isKept ? this.ends[second % this.ends.length]! : 0;
  }
}

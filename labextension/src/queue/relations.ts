// Parents of a task, and its listed children. Pure.

import type { Queue } from '../link/model';

/** Tasks of one side that are named; of more, their number is. */
export const MOST_RELATED = 6;

/** Tasks on one side of a task. `n`: their number, of which `taskids` are the first. */
export interface Related {
  readonly taskids: readonly number[];
  readonly n: number;
}

/** Return the tasks that this one comes after, or takes the result of. */
export function findBefore(queue: Queue, taskid: number): Related {
  const batch = queue.batchAt(queue.placeOf(taskid));
  const after = batch?.after ?? [];
  return { taskids: after.slice(0, MOST_RELATED), n: batch?.n_after || after.length };
}

/** Return the listed tasks that come after this one. Searches all batches: ask again only after these have changed. */
export function findAfter(queue: Queue, taskid: number): Related {
  const taskids: number[] = [];
  let n = 0;
  for (const { first, n: many, after } of queue.batches) {
    if (!after?.includes(taskid)) continue;
    for (let id = first; id < first + many && taskids.length < MOST_RELATED; id++) {
      if (queue.placeOf(id) >= 0) taskids.push(id);
    }
    n += many;
  }
  return { taskids, n };
}

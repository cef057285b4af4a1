// What the question before a stop says.

import type { FarmStatus } from '../link/messages';
import { queuedOf } from '../link/model';
import { plural } from '../queue/format';

/** Return what becomes of a farm's tasks when it is stopped. */
export function stopText({ counts, in_memory: isInMemory }: FarmStatus): string {
  const running = counts?.running ?? 0;
  const queued = counts ? queuedOf(counts) : 0;
  if (isInMemory) {
    const lost = plural(running + queued, 'unfinished task');
    return `This farm keeps its tasks in memory only: ${lost} and all results will be gone.`;
  }
  const restart = 'will be stopped, and run again from the beginning after the next start. ';
  const stopped = running > 0 ? `${plural(running, 'running task')} ${restart}` : '';
  const kept = queued > 0 ? `${plural(queued, 'queued task')} will be kept.` : '';
  return stopped + kept || 'There are no unfinished tasks. Results are kept.';
}

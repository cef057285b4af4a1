// Asks for the details of one task again and again: at most once a second, and only while somebody sees them.

import type { Host } from './host';
import type { TaskDetails } from './messages';

const EVERY_MS = 1000;
const AFTER_PROBLEM_MS = [2000, 4000, 8000, 15_000] as const;

export interface PollEvents {
  /** Here they are. `outputs` is `null` where they are as before. */
  told(details: TaskDetails): void;
  failed(problem: string): void;
}

export class Poll {
  taskid = -1;
  private timer: ReturnType<typeof setTimeout> | undefined;
  private known: string | undefined;
  private nProblems = 0;
  // so that an answer about a task that is no longer shown does nothing
  private number = 0;

  /** @param isSeen nothing is asked while it says no. */
  constructor(
    private readonly host: Host,
    private readonly isSeen: () => boolean,
    private readonly events: PollEvents
  ) {}

  /** Ask about this task from now on; -1: about none. */
  begin(farm: string, taskid: number): void {
    this.stop();
    this.taskid = taskid;
    if (taskid >= 0) void this.ask(farm);
  }

  stop(): void {
    clearTimeout(this.timer);
    this.taskid = -1;
    this.number += 1;
    this.known = undefined;
    this.nProblems = 0;
  }

  private async ask(farm: string): Promise<void> {
    if (!this.isSeen()) return this.later(farm, EVERY_MS);
    const number = this.number;
    let isEnded = false;
    try {
      const details = await this.host.details(farm, this.taskid, this.known);
      if (number !== this.number) return;
      this.nProblems = 0;
      this.known = details.version ?? this.known;
      isEnded = ['succeeded', 'failed', 'aborted'].includes(details.task.state);
      this.events.told(details);
    } catch (error) {
      if (number !== this.number) return;
      this.events.failed(error instanceof Error ? error.message : String(error));
      this.nProblems += 1;
    }
    const problem = AFTER_PROBLEM_MS[Math.min(this.nProblems, AFTER_PROBLEM_MS.length) - 1];
    if (!isEnded) this.later(farm, problem ?? EVERY_MS);
  }

  private later(farm: string, ms: number): void {
    clearTimeout(this.timer);
    this.timer = setTimeout(() => void this.ask(farm), ms);
  }
}

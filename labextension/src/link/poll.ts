// Polling of one task's details: at most once a second, and only while they are visible.

import { problemOf } from './host';
import type { Host } from './host';
import type { TaskDetails } from './messages';
import { isFinal } from './model';

const EVERY_MS = 1000;
const AFTER_PROBLEM_MS = [2000, 4000, 8000, 15_000] as const;

export interface PollEvents {
  /** Called with each answer. `outputs` is `null` if they have not changed; only the first one has the source. */
  onDetails(details: TaskDetails): void;
  onProblem(problem: string): void;
}

export class Poll {
  taskid = -1;
  private timer: ReturnType<typeof setTimeout> | undefined;
  private known: string | undefined;
  private hasSource = false;
  private nProblems = 0;
  // changes with the task, so that an answer about the one before is ignored
  private number = 0;

  /** @param isSeen returns whether the page is visible; nothing is asked while it is not. */
  constructor(
    private readonly host: Host,
    private readonly isSeen: () => boolean,
    private readonly events: PollEvents
  ) {}

  /** Poll this task from now on; -1: none. */
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
    this.hasSource = false;
    this.nProblems = 0;
  }

  private async ask(farm: string): Promise<void> {
    if (!this.isSeen()) return this.askLater(farm, EVERY_MS);
    const number = this.number;
    let isEnded = false;
    try {
      const details = await this.host.details(farm, this.taskid, this.known, !this.hasSource);
      if (number !== this.number) return;
      this.hasSource = true;
      this.nProblems = 0;
      this.known = details.version ?? this.known;
      isEnded = isFinal(details.task.state);
      this.events.onDetails(details);
    } catch (error) {
      if (number !== this.number) return;
      this.events.onProblem(problemOf(error));
      this.nProblems += 1;
    }
    const problem = AFTER_PROBLEM_MS[Math.min(this.nProblems, AFTER_PROBLEM_MS.length) - 1];
    if (!isEnded) this.askLater(farm, problem ?? EVERY_MS);
  }

  private askLater(farm: string, ms: number): void {
    clearTimeout(this.timer);
    this.timer = setTimeout(() => void this.ask(farm), ms);
  }
}

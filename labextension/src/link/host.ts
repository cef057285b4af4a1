// The interface between a view of a queue and its host: JupyterLab's sidebar, or the output of a cell.

import type { AnyCommand, CommandAnswer, TaskDetails, ViewQuestion } from './messages';

/** Return the message for users of an error. */
export function problemOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}

/** The facts of a task that are needed to find its cell. */
export interface ShownTask {
  readonly farm: string;
  readonly taskid: number;
  readonly name: string | null;
  readonly label: string;
  /** The notebook or script of its batch. */
  readonly owner: string;
}

export interface Host {
  readonly kind: 'sidebar' | 'widget';

  /** Send a question; the replies go to `QueueView.receive`. */
  ask(question: ViewQuestion): void;

  /**
   * Send a command. Rejects with an `Error` whose message is for users. `notify` is called with advice if the answer
   * may take long; a host that has none to give leaves it out.
   */
  command(farm: string, command: AnyCommand, notify?: (text: string) => void): Promise<CommandAnswer>;

  /** Get all facts of one task. `known`: the `version` of the outputs that the caller has. */
  details(farm: string, taskid: number, known?: string, isWithSource?: boolean): Promise<TaskDetails>;

  /** Get the size of a farm's store in bytes; `null` if this host does not know it. */
  storeBytes(farm: string): Promise<number | null>;

  /** Show the cell of a task; returns `false` if it is not found. Absent in hosts that cannot show cells. */
  goToCell?(task: ShownTask): Promise<boolean>;
}

// What a view of a queue needs from where it lives: JupyterLab's sidebar, or the output of a cell.

import type { AnyCommand, CommandAnswer, TaskDetails, ViewQuestion } from './messages';

/** A task as far as it takes to find the cell that it is from. */
export interface ShownTask {
  readonly farm: string;
  readonly taskid: number;
  readonly name: string | null;
  readonly label: string;
  /** The notebook or script that it is from, as its batch says it. */
  readonly owner: string;
}

export interface Host {
  readonly kind: 'sidebar' | 'widget';

  /** Send a question; what comes back is given to `QueueView.receive`. */
  ask(question: ViewQuestion): void;

  /**
   * Have something done. Rejects with an `Error` whose message is a sentence for people. `say` is told what to do
   * meanwhile where the answer may be long in coming; a host without such news leaves it out.
   */
  command(farm: string, command: AnyCommand, say?: (text: string) => void): Promise<CommandAnswer>;

  /** Everything about one task. `known`: the `version` of the outputs that the caller has. */
  details(farm: string, taskid: number, known?: string): Promise<TaskDetails>;

  /** Show the cell that a task is from; `false`: it is not found. Absent where nothing can be shown. */
  goToCell?(task: ShownTask): Promise<boolean>;
}

// The kernel's buttons under a card that a page draws: whether their kernel still runs, what it offers, and its actions.

import type { Labels } from './action-row';

/** Type of the event that asks the kernel's buttons for an action. They prevent its default if they carry it out. */
export const ACT_IN_KERNEL = 'taskfc-act';

export type ActInKernel = CustomEvent<{
  readonly verb: string;
  readonly taskid: number;
  readonly show: (text: string) => void;
  readonly answer: (answer: Promise<string>) => void;
}>;

/** Type of the event that asks the kernel's buttons for their choice. */
export const CHOICE_OF_KERNEL = 'taskfc-choice';

/** Type of the event that tells the page of another choice. */
export const CHOICE_CHANGED = 'taskfc-choice-changed';

/** Verbs that only the kernel knows, in place of the usual ones of a task. */
export interface KernelChoice {
  readonly taskid: number;
  readonly verbs: readonly string[];
  readonly labels: Labels;
}

export type ChoiceOfKernel = CustomEvent<{ readonly answer: (choice: KernelChoice) => void }>;

/** Class of the kernel's buttons when that has ended; the saved form of a card knows it, too. */
export const ENDED = 'taskfc-mod-ended';

/** Find the buttons of a kernel that still runs, among the elements that the kernel shows. */
export function findLiveButtons(parts: readonly Element[]): Element | null {
  for (const part of parts) {
    const row = part.querySelector('.taskfc-buttons');
    if (row !== null && !row.classList.contains(ENDED)) return row;
  }
  return null;
}

/** Return what the kernel offers in place of the usual verbs; `null`: nothing, or there is no such kernel. */
export function choiceOfKernel(parts: readonly Element[]): KernelChoice | null {
  let choice: KernelChoice | null = null;
  const answer = (answered: KernelChoice): void => void (choice = answered);
  findLiveButtons(parts)?.dispatchEvent(new CustomEvent(CHOICE_OF_KERNEL, { detail: { answer } }));
  return choice;
}

/**
 * Have the kernel act on the task. It runs a task again with the notebook's modules as they are now, and binds the
 * notebook's names. `null`: there is no such kernel.
 */
export function actInKernel(
  parts: readonly Element[],
  verb: string,
  taskid: number,
  show: (text: string) => void
): Promise<string> | null {
  const row = findLiveButtons(parts);
  let answered: Promise<string> | null = null;
  const answer = (promise: Promise<string>): void => void (answered = promise);
  row?.dispatchEvent(new CustomEvent(ACT_IN_KERNEL, { cancelable: true, detail: { verb, taskid, show, answer } }));
  return answered;
}

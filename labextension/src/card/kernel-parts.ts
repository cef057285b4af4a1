// The kernel's buttons under a card that a page draws: whether their kernel still runs, and their retry.

/** Type of the event that asks the kernel's buttons for a retry. They prevent its default if they carry it out. */
export const RETRY_IN_KERNEL = 'taskfc-retry';

export type RetryInKernel = CustomEvent<{
  readonly taskid: number;
  readonly show: (text: string) => void;
  readonly answer: (answer: Promise<string>) => void;
}>;

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

/**
 * Have the kernel run the task again: it sends the notebook's modules as they are now, and binds the notebook's names.
 * `null`: there is no such kernel.
 */
export function retryInKernel(
  parts: readonly Element[],
  taskid: number,
  show: (text: string) => void
): Promise<string> | null {
  const row = findLiveButtons(parts);
  let answered: Promise<string> | null = null;
  const answer = (promise: Promise<string>): void => void (answered = promise);
  row?.dispatchEvent(new CustomEvent(RETRY_IN_KERNEL, { cancelable: true, detail: { taskid, show, answer } }));
  return answered;
}

// Commands as numbered messages to the kernel, which may not receive them while it runs a cell.

import type { AnyCommand, CommandAnswer, TaskDetails } from './messages';
import type { Choice, Numbered, ToKernel } from './transport';

const SLOW_AFTER_MS = 1500;

const MOST_RANGES = 8; // of ids, in a line that a user has to type

const BUSY = 'The kernel is busy or was restarted, and has not received this.';

const LATER = 'It will receive it when its cell ends';

/** Return advice for a command that the kernel has not received. */
export function terminalFor(farm: string, command: AnyCommand): string {
  const option = nameOption(farm);
  const typed = terminalCommand(command);
  if (typed === null) return `${BUSY} ${LATER}.`;
  // the click arrives later: the same command in a terminal would run the tasks twice
  if (command.do === 'retry') return `${BUSY} ${LATER}; if it was restarted, type in a terminal: taskfc ${typed}${option}`;
  return `${BUSY} Type in a terminal: taskfc ${typed}${option}`;
}

/** Split a message for users at the command for the terminal that ends it; `null`: there is none. */
export function splitCommandFrom(text: string): readonly [string, string | null] {
  const at = text.lastIndexOf(': taskfc ');
  return at < 0 ? [text, null] : [text.slice(0, at + 1), text.slice(at + 2)];
}

/** Return the option that selects this farm in a terminal. */
function nameOption(farm: string): string {
  return farm === 'default' ? '' : ` --name ${farm}`;
}

function terminalCommand(command: AnyCommand): string | null {
  switch (command.do) {
    case 'abort':
    case 'retry':
      return `${command.do} ${formatRanges(command.taskids)}`;
    case 'clear':
      return `clear ${rangesToType(command.taskids ?? [])}`.trim();
    case 'scale':
      return `scale ${command.n}`;
    case 'start':
    case 'stop':
      return command.do;
    default:
      return null;
  }
}

/** Return the ranges of finished tasks; an empty text, which means all, if they are too many to type. */
function rangesToType(taskids: readonly number[]): string {
  const shown = formatRanges(taskids);
  return shown.endsWith('...') ? '' : shown;
}

/** Write task ids as the terminal command takes them: `3-7 12`. */
export function formatRanges(taskids: readonly number[]): string {
  const found: [number, number][] = [];
  for (const taskid of [...taskids].sort((a, b) => a - b)) {
    const last = found[found.length - 1];
    if (last !== undefined && taskid <= last[1] + 1) last[1] = taskid;
    else found.push([taskid, taskid]);
  }
  const shown = found.slice(0, MOST_RANGES).map(([from, to]) => (from === to ? `${from}` : `${from}-${to}`));
  return [...shown, ...(found.length > MOST_RANGES ? ['...'] : [])].join(' ');
}

interface Waiting {
  readonly resolve: (answer: never) => void;
  readonly reject: (error: Error) => void;
  readonly timer: ReturnType<typeof setTimeout>;
}

export class KernelPath {
  // the kernel's messages go to all pages that show the widget: each page has its own numbers
  private number = Math.floor(Math.random() * 2 ** 40);
  private readonly waiting = new Map<number, Waiting>();
  // questions without an answer yet: a busy kernel must not get the same question again
  private readonly asked = new Map<number, Promise<TaskDetails>>();

  /**
   * @param send throws an `Error` with a message for users if there is no kernel.
   * @param isAlive returns whether the kernel still runs.
   */
  constructor(
    private readonly send: (message: ToKernel) => void,
    readonly isAlive: () => boolean = () => true
  ) {}

  /** Send a command. `onSlow` is called if the kernel does not acknowledge it soon; the answer may still come. */
  command(command: AnyCommand, onSlow: () => void): Promise<CommandAnswer> {
    return this.ask(number => ({ number, command }), onSlow);
  }

  /** Send a choice, which only this kernel knows; otherwise as `command`. */
  choose(choice: Choice, onSlow: () => void): Promise<CommandAnswer> {
    return this.ask(number => ({ number, choose: choice }), onSlow);
  }

  /** Get the details of a task. Rejects if the kernel is slow; its late answer then answers the next call. */
  details(farm: string, taskid: number, known?: string, isWithSource = false): Promise<TaskDetails> {
    let answer = this.asked.get(taskid);
    if (answer === undefined) {
      const details = { taskid, ...(known && { known }), ...(isWithSource && { source: true }) };
      answer = this.ask<TaskDetails>(number => ({ number, details }));
      answer = answer.finally(() => this.asked.delete(taskid));
      this.asked.set(taskid, answer);
    }
    let timer: ReturnType<typeof setTimeout>;
    const timeout = new Promise<never>((_, reject) => {
      const advice = `To read its log, type in a terminal: taskfc log ${taskid}${nameOption(farm)}`;
      const busy = new Error(`${BUSY} ${advice}`);
      timer = setTimeout(() => reject(busy), SLOW_AFTER_MS * 2);
    });
    return Promise.race([answer, timeout]).finally(() => clearTimeout(timer));
  }

  /** Handle a reply of the kernel. Replies to other pages' numbers are ignored. */
  receive(message: Numbered): void {
    const waiting = this.waiting.get(message.number);
    if (waiting === undefined) return;
    clearTimeout(waiting.timer);
    if ('heard' in message) return;
    this.waiting.delete(message.number);
    if ('problem' in message) waiting.reject(new Error(message.problem));
    else waiting.resolve(('answer' in message ? message.answer : message.details) as never);
  }

  dispose(): void {
    for (const { timer, reject } of this.waiting.values()) {
      clearTimeout(timer);
      reject(new Error('The view was closed before the answer came.'));
    }
    this.waiting.clear();
  }

  private ask<Answer>(message: (number: number) => ToKernel, onSlow: () => void = ignore): Promise<Answer> {
    const number = ++this.number;
    return new Promise((resolve, reject) => {
      this.send(message(number)); // an error rejects the promise
      const timer = setTimeout(onSlow, SLOW_AFTER_MS);
      this.waiting.set(number, { resolve, reject, timer });
    });
  }
}

function ignore(): void {}

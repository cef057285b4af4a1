// Commands by numbered messages to the kernel, which may not hear them while it runs a cell.

import type { AnyCommand, CommandAnswer, TaskDetails } from './messages';
import type { Numbered, ToKernel } from './transport';

const UNHEARD_AFTER_MS = 1500;

const MOST_RANGES = 8; // of ids, in a line that somebody is to type

const BUSY = 'The kernel is busy, or was restarted, and does not hear this.';

const LATER = 'It will when its cell has ended';

/** The line that says what to do about a command that the kernel does not hear. */
export function terminalFor(farm: string, command: AnyCommand): string {
  const option = nameOption(farm);
  const typed = typedFor(command);
  if (typed === null) return `${BUSY} ${LATER}.`;
  // what is typed beside the click that is heard later would run the tasks twice
  if (command.do === 'retry') return `${BUSY} ${LATER}; if it was restarted, type in a terminal: taskfc ${typed}${option}`;
  return `${BUSY} Type in a terminal: taskfc ${typed}${option}`;
}

/** What a command in a terminal takes to mean this farm. */
function nameOption(farm: string): string {
  return farm === 'default' ? '' : ` --name ${farm}`;
}

function typedFor(command: AnyCommand): string | null {
  switch (command.do) {
    case 'abort':
    case 'retry':
      return `${command.do} ${ranges(command.taskids)}`;
    case 'clear':
      return `clear ${typable(command.taskids ?? [])}`.trim();
    case 'scale':
      return `scale ${command.n}`;
    case 'start':
    case 'stop':
      return command.do;
    default:
      return null;
  }
}

/** Ids of finished tasks, where somebody can type them; nothing, which means all, where they are too many for that. */
function typable(taskids: readonly number[]): string {
  const shown = ranges(taskids);
  return shown.endsWith('...') ? '' : shown;
}

/** Task ids as a terminal takes them: `3-7 12`. */
export function ranges(taskids: readonly number[]): string {
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
  // what the kernel says goes to all pages that show the widget: each has its own numbers
  private number = Math.floor(Math.random() * 2 ** 40);
  private readonly waiting = new Map<number, Waiting>();
  // an answer that is still to come is waited for: a busy kernel is not asked the same again and again
  private readonly asked = new Map<number, Promise<TaskDetails>>();

  /**
   * @param send throws an `Error` with a sentence for people where there is no kernel.
   * @param isThere the kernel may hear.
   */
  constructor(
    private readonly send: (message: ToKernel) => void,
    readonly isThere: () => boolean = () => true
  ) {}

  /** Have something done. `onUnheard` is called when the kernel seems not to hear it; the answer may still come. */
  command(command: AnyCommand, onUnheard: () => void): Promise<CommandAnswer> {
    return this.ask(number => ({ number, command }), onUnheard);
  }

  /** Rejects when the kernel does not hear; its answer to that question is the answer to the next one. */
  details(farm: string, taskid: number, known?: string): Promise<TaskDetails> {
    let answer = this.asked.get(taskid);
    if (answer === undefined) {
      const details = known ? { taskid, known } : { taskid };
      answer = this.ask<TaskDetails>(number => ({ number, details }));
      answer = answer.finally(() => this.asked.delete(taskid));
      this.asked.set(taskid, answer);
    }
    let timer: ReturnType<typeof setTimeout>;
    const unheard = new Promise<never>((_, reject) => {
      const busy = new Error(`${BUSY} What the task printed: taskfc log ${taskid}${nameOption(farm)}`);
      timer = setTimeout(() => reject(busy), UNHEARD_AFTER_MS * 2);
    });
    return Promise.race([answer, unheard]).finally(() => clearTimeout(timer));
  }

  /** Take in what the kernel says to one of the questions. Numbers of another page's do nothing. */
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

  private ask<Answer>(message: (number: number) => ToKernel, onUnheard: () => void = ignore): Promise<Answer> {
    const number = ++this.number;
    return new Promise((resolve, reject) => {
      this.send(message(number)); // what it throws is the answer
      const timer = setTimeout(onUnheard, UNHEARD_AFTER_MS);
      this.waiting.set(number, { resolve, reject, timer });
    });
  }
}

function ignore(): void {}

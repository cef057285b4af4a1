// What the widget and its kernel say to each other, as the contents of custom messages.

import type { AnyCommand, CommandAnswer, TaskDetails, ViewMessage, ViewQuestion } from './messages';

/** A question that gets an answer with its number. */
export interface NumberedCommand {
  readonly number: number;
  readonly command: AnyCommand;
}

export interface NumberedDetails {
  readonly number: number;
  /** `known`: the `version` of the outputs that the page has. */
  readonly details: { readonly taskid: number; readonly known?: string };
}

/** There is a view in a page. */
export interface Looking {
  readonly looking: true;
}

export type ToKernel = ViewQuestion | NumberedCommand | NumberedDetails | Looking;

/** The kernel has the question, and will answer. */
export interface Heard {
  readonly number: number;
  readonly heard: true;
}

export interface Answered {
  readonly number: number;
  readonly answer: CommandAnswer;
}

export interface Detailed {
  readonly number: number;
  readonly details: TaskDetails;
}

/** There is no answer; a sentence for people says why. */
export interface Refused {
  readonly number: number;
  readonly problem: string;
}

export type Numbered = Heard | Answered | Detailed | Refused;

export type FromKernel = ViewMessage | Numbered;

export function isNumbered(message: FromKernel): message is Numbered {
  return 'number' in message;
}

// Messages between the widget and its kernel, as the contents of custom messages.

import type { AnyCommand, CommandAnswer, TaskDetails, ViewMessage, ViewQuestion } from './messages';

/** A command; the reply has its number. */
export interface CommandRequest {
  readonly number: number;
  readonly command: AnyCommand;
}

export interface DetailsRequest {
  readonly number: number;
  /** `known`: the `version` of the outputs that the page has. `source`: with the task's source. */
  readonly details: { readonly taskid: number; readonly known?: string; readonly source?: boolean };
}

/** A click on a button whose verb only the kernel knows. */
export interface Choice {
  readonly do: 'choose';
  readonly verb: string;
  readonly taskids: readonly number[];
  readonly identity: string;
}

export interface ChoiceRequest {
  readonly number: number;
  readonly choose: Choice;
}

/** A sign that a page still shows the widget. */
export interface KeepAlive {
  readonly looking: true;
}

export type ToKernel = ViewQuestion | CommandRequest | ChoiceRequest | DetailsRequest | KeepAlive;

/** The kernel has received the message and will answer. */
export interface Acknowledgement {
  readonly number: number;
  readonly heard: true;
}

export interface CommandReply {
  readonly number: number;
  readonly answer: CommandAnswer;
}

export interface DetailsReply {
  readonly number: number;
  readonly details: TaskDetails;
}

/** There is no answer; `problem` is a message for users. */
export interface Refusal {
  readonly number: number;
  readonly problem: string;
}

export type Numbered = Acknowledgement | CommandReply | DetailsReply | Refusal;

export type FromKernel = ViewMessage | Numbered;

export function isNumbered(message: FromKernel): message is Numbered {
  return 'number' in message;
}

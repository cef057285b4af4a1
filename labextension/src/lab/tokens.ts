// The token of the task farms, through which the plugins share the connection and the sidebar.

import { Token } from '@lumino/coreutils';
import type { ISignal } from '@lumino/signaling';

import type { FarmsLink } from '../link/farms';
import type { AnyCommand, CommandAnswer } from '../link/messages';
import type { SharedQueues } from '../link/shared-queues';
import type { QueueStore } from '../link/store';

/** The task farms of this page, as shared by the sidebar, the status bar, the commands and the other plugins. */
export interface ITaskFarms {
  readonly link: FarmsLink;

  /** The queues that parts of this page follow. */
  readonly queues: SharedQueues;

  /** The farm that the sidebar shows and commands act on; empty while there is none. */
  readonly farm: string;

  /** The state of that farm's queue. */
  readonly store: QueueStore;

  /** Open the sidebar and show a farm, and a task of it. */
  show(farm?: string, taskid?: number): void;

  /** Whether the sidebar's queue is visible, and the signal that this has changed. */
  readonly isQueueVisible: boolean;
  readonly visibilityChanged: ISignal<ITaskFarms, void>;

  /**
   * Send a command and show its result in a notification.
   *
   * @returns the answer; `null` if there was none.
   */
  run(farm: string, command: AnyCommand): Promise<CommandAnswer | null>;

  /** Run these commands of a farm; those that need an input or a confirmation ask for it. */
  start(farm: string): Promise<void>;
  startNew(): Promise<void>;
  stop(farm: string): Promise<void>;
  scale(farm: string): Promise<void>;
}

export const ITaskFarms = new Token<ITaskFarms>(
  'taskfc-ext:ITaskFarms',
  'The task farms of this user, and the sidebar that shows them.'
);

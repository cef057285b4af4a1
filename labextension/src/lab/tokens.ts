import { Token } from '@lumino/coreutils';
import type { ISignal } from '@lumino/signaling';

import type { FarmsLink } from '../link/farms';
import type { AnyCommand, CommandAnswer } from '../link/messages';
import type { QueueStore } from '../link/store';

/** The task farms as this page has them: what the sidebar, the status bar, commands and the rest share. */
export interface ITaskFarms {
  readonly link: FarmsLink;

  /** The farm that is shown in the sidebar, and that commands are about; empty while there is none. */
  readonly farm: string;

  /** What is known of its queue. */
  readonly store: QueueStore;

  /** Show a farm in the sidebar, and a task of it; the sidebar is opened. */
  show(farm?: string, taskid?: number): void;

  /** Whether somebody can see the sidebar's queue now, and when that has changed. */
  readonly isSeen: boolean;
  readonly seenChanged: ISignal<ITaskFarms, void>;

  /**
   * Have something done, and tell in a notification what came of it.
   *
   * @returns the answer; `null` when there was none.
   */
  run(farm: string, command: AnyCommand): Promise<CommandAnswer | null>;

  /** The same of a farm as a whole, after a question where there is one. */
  start(farm: string): Promise<void>;
  startNew(): Promise<void>;
  stop(farm: string): Promise<void>;
  scale(farm: string): Promise<void>;
}

export const ITaskFarms = new Token<ITaskFarms>(
  'taskfc-ext:ITaskFarms',
  'The task farms of this user, and the sidebar that shows them.'
);

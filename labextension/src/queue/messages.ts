// What a view of queues is told, and what it asks. Written by scripts/write_messages.py from what
// taskfc_ext/view/messages.py and taskfc_ext/protocol/ say: change it there, and run the script.

export const VIEW_PROTOCOL = 1;
export const MAX_LOG = 200000;
export const MAX_ROWS = 2000;
export const MESSAGE_CHARS = 200;
export const MAX_IDS = 100000;

/** How many tasks are in each state; `n_ended`: ends since the controller started, which only grows. */
export interface Counts {
  readonly waiting?: number;
  readonly scheduled?: number;
  readonly running?: number;
  readonly succeeded?: number;
  readonly failed?: number;
  readonly aborted?: number;
  readonly n_ended?: number;
}

/**
 * One worker as lists show it. `running` is a task id. `problem`: the broadcast that failed last on it, and why.
 * `state`: starting, setting up, idle, busy, waiting (its task waits for other tasks, and it has lent its place), or
 * retiring. `waits_for`: the first of the tasks that its task waits for. `is_substitute`: it is there because others
 * wait, and ends when it is not needed any more.
 */
export interface WorkerInfo {
  readonly worker: number;
  readonly pid: number;
  readonly state: string;
  readonly running: number | null;
  readonly held: number;
  readonly problem: string;
  readonly waits_for: readonly number[];
  readonly is_substitute: boolean;
}

/**
 * What the `n` tasks of one submission share; their ids are `first`, `first + 1`, ...
 * `submitted`: wall-clock seconds. `owner`: the notebook or script they are from. `retry_of`: the finished tasks that
 * they are again, one each; empty where they are no retries.
 */
export interface Batch {
  readonly first: number;
  readonly n: number;
  readonly label: string;
  readonly name?: string | null;
  readonly owner?: string;
  readonly submitted?: number;
  readonly priority?: number;
  readonly retry_of?: readonly number[];
}

/** A task's state as a number, for columns. */
export const StateCode = {
  WAITING: 1,
  SCHEDULED: 2,
  RUNNING: 3,
  SUCCEEDED: 4,
  FAILED: 5,
  ABORTED: 6,
} as const;
export type StateCode = (typeof StateCode)[keyof typeof StateCode];

/** Tasks `first` to `first + n - 1` are in this state, kept from the workers if `held`; and nothing more is told. */
export type Run = readonly [first: number, n: number, state: StateCode, held?: boolean];

/** How far a running task is, as its code says. `total` is `None` where that is not known. */
export interface TaskProgress {
  readonly done: number;
  readonly total: number | null;
  readonly description: string;
}

/** What few tasks have. */
export interface Note {
  /** why it has no value, as in `TaskInfo`. */
  readonly reason?: string;
  /** one line, at most `MESSAGE_CHARS`: of its failure, or why it waits. */
  readonly message?: string;
  /** how far the running attempt is. */
  readonly progress?: TaskProgress | null;
  /** it is kept from the workers. */
  readonly held?: boolean;
  /** an abort or a timeout is at work on it. */
  readonly stopping?: boolean;
  /** wall-clock time until which it waits for its next attempt. */
  readonly not_before?: number | null;
  /** workers that died in it. */
  readonly deaths?: number;
  /** where that is not its batch's. */
  readonly priority?: number | null;
}

/** Tasks as they are now: columns of equal length, by ascending id. */
export interface Rows {
  /** task ids. */
  readonly ids?: readonly number[];
  /** a `StateCode` each. */
  readonly states?: readonly number[];
  /** who runs it, or ran it last; -1: nobody yet. */
  readonly workers?: readonly number[];
  /** how many have begun. */
  readonly attempts?: readonly number[];
  /** wall-clock time at which the running attempt began; 0.0: none runs. */
  readonly started?: readonly number[];
  /** wall-clock time of its end; 0.0: it has not ended. */
  readonly completed?: readonly number[];
  /** run time of the last attempt of a task that has ended; 0.0: none ran to its end. */
  readonly seconds?: readonly number[];
  /** for those that have one. A row without has none any more. */
  readonly notes?: Readonly<Record<number, Note>>;
}

/** The queue as it is: all unfinished tasks, and the newest finished ones. */
export interface QueueSnapshot {
  readonly type: 'snapshot';
  /** the next delta has the next number. */
  readonly seq: number;
  /** its name. */
  readonly farm: string;
  /** counts the starts of the controller on its store. */
  readonly incarnation: number;
  /** the controller's clock when this was made, in seconds. */
  readonly wall: number;
  /** of all tasks, listed here or not. */
  readonly counts: Counts;
  /** how many there should be. */
  readonly n_workers: number;
  /** those that there are. */
  readonly workers: readonly WorkerInfo[];
  /** of all tasks in `runs` and `rows`. */
  readonly batches: readonly Batch[];
  /** those of which there is nothing more to tell. */
  readonly runs: readonly Run[];
  /** the others. */
  readonly rows: Rows;
  /**
   * how many tasks ended in each of the last seconds, oldest first, the last that of `wall`; empty where nobody has
   * counted.
   */
  readonly ends: readonly number[];
}

/** What is different since the message before; as in `QueueSnapshot`, and */
export interface QueueDelta {
  readonly type: 'delta';
  /** one more than that of the message before; whoever misses one asks for a snapshot. */
  readonly seq: number;
  readonly farm: string;
  readonly wall: number;
  readonly counts: Counts;
  readonly n_workers: number;
  /** all of them, if anything about them is different; else `None`. */
  readonly workers?: readonly WorkerInfo[] | null;
  /** the new ones. */
  readonly batches?: readonly Batch[];
  readonly runs?: readonly Run[];
  readonly rows?: Rows;
  /** tasks that are forgotten: (first, n). */
  readonly cleared?: readonly (readonly [number, number])[];
}

/** How a farm is, as one word. */
export const FarmState = {
  CONNECTING: 'connecting',
  LIVE: 'live',
  DEAD: 'dead',
  STOPPED: 'stopped',
  REFUSED: 'refused',
} as const;
export type FarmState = (typeof FarmState)[keyof typeof FarmState];

/** One farm, as the picker lists it. */
export interface FarmStatus {
  /** its name. */
  readonly name: string;
  /** how it is. */
  readonly state: FarmState;
  /** a sentence for people where it is not live: what is the case and what to do. */
  readonly message?: string;
  /** which processes these are; empty while there are none. A command that names another one is refused. */
  readonly identity?: string;
  /** of its tasks; `None` while unknown. */
  readonly counts?: Counts | null;
  /** how many workers it should have. */
  readonly n_workers?: number;
  /** the version that its workers run. */
  readonly python?: string;
}

/** All farms of this user that run or have a store, by name. Sent first, and after each change. */
export interface Farms {
  readonly type: 'farms';
  readonly farms: readonly FarmStatus[];
  readonly protocol: number;
  readonly version: string;
}

/** Send the snapshot of this farm, and then its deltas. Repeated: the snapshot again. */
export interface Watch {
  readonly ask: 'watch';
  readonly farm: string;
}

/** Send no more messages of this farm. */
export interface Unwatch {
  readonly ask: 'unwatch';
  readonly farm: string;
}

/** Abort these tasks; tasks that have ended are left as they are. */
export interface Abort {
  readonly do: 'abort';
  readonly taskids: readonly number[];
  readonly identity?: string;
}

/** Run these finished tasks again, with the tasks that failed because of them. */
export interface Retry {
  readonly do: 'retry';
  readonly taskids: readonly number[];
  readonly identity?: string;
}

/** Keep these tasks from being dispatched. */
export interface Hold {
  readonly do: 'hold';
  readonly taskids: readonly number[];
  readonly identity?: string;
}

/** Let these tasks be dispatched again. */
export interface Release {
  readonly do: 'release';
  readonly taskids: readonly number[];
  readonly identity?: string;
}

/** Give these tasks another priority. */
export interface Move {
  readonly do: 'move';
  readonly taskids: readonly number[];
  readonly priority: number;
  readonly identity?: string;
}

/** Forget these finished tasks; `None`: all finished ones. */
export interface Clear {
  readonly do: 'clear';
  readonly taskids?: readonly number[] | null;
  readonly identity?: string;
}

/** Run all failed tasks again, except those that were retried. */
export interface RetryFailed {
  readonly do: 'retry-failed';
  readonly identity?: string;
}

/** Set the number of workers. */
export interface Scale {
  readonly do: 'scale';
  readonly n: number;
  readonly identity?: string;
}

/** Start the farm, or do nothing if it runs. `n`: workers; `None`: as before, or one for each core. */
export interface Start {
  readonly do: 'start';
  readonly n?: number | null;
  readonly identity?: string;
}

/** Stop the farm; unfinished tasks stay in its store. */
export interface Stop {
  readonly do: 'stop';
  readonly identity?: string;
}

/** The result of a command. `said`: a sentence for people. `retried`: pairs (old id, new id). */
export interface CommandAnswer {
  readonly ok: boolean;
  readonly said: string;
  readonly retried?: readonly (readonly [number, number])[];
}

/**
 * One task as lists show it. `elapsed` is the run time of the attempt that runs, or of the last one, in seconds.
 * `priority` is that of an unfinished task now; of a finished one, that under which it was submitted. `progress`: of
 * an attempt that runs and has reported it. `retry_of`: the task that this one was a retry of. `not_before`:
 * wall-clock time until which a failed task waits for its next attempt. `waits_for`: unfinished tasks that it waits
 * for while it runs, at most 100; its worker has lent its place to another one meanwhile.
 */
export interface TaskInfo {
  readonly taskid: number;
  readonly name: string | null;
  readonly label: string;
  readonly state: string;
  readonly reason: string;
  readonly stopping: boolean;
  readonly held: boolean;
  readonly worker: number;
  readonly attempts: number;
  readonly deaths: number;
  readonly priority: number;
  readonly submitted: number;
  readonly completed: number | null;
  readonly elapsed: number | null;
  readonly owner: string;
  readonly message: string;
  readonly progress: TaskProgress | null;
  readonly retry_of: number | null;
  readonly not_before: number | null;
  readonly waits_for: readonly number[];
}

/** The details of one task, as a drawer shows them. */
export interface TaskDetails {
  /** as lists show it. */
  readonly task: TaskInfo;
  /** the end of its log, at most `MAX_LOG` characters. */
  readonly log?: string;
  /** characters before that. */
  readonly n_cut?: number;
  /** of `outputs`. */
  readonly version?: string;
  /** its outputs, in the form of a notebook's file; `None`: the view has this version. */
  readonly outputs?: readonly unknown[] | null;
  /** of its exception. */
  readonly traceback?: string;
  /** a description of the death of its worker. */
  readonly note?: string;
  /** the type of its exception. */
  readonly exception?: string;
}

export type ViewMessage = Farms | QueueSnapshot | QueueDelta;

export type ViewQuestion = Watch | Unwatch;

export type AnyCommand = Abort | Retry | Hold | Release | Move | Clear | RetryFailed | Scale | Start | Stop;

// Messages between Python and a view of queues. Written by scripts/write_messages.py from the structs of
// taskfc_ext/view/ and taskfc_ext/protocol/: change them there, and run the script.

export const VIEW_PROTOCOL = 1;
export const MAX_LOG = 200000;
export const MESSAGE_CHARS = 200;
export const MAX_IDS = 100000;
export const MAX_WORKERS = 10000;
export const FARM_NAME = '[A-Za-z0-9_-][A-Za-z0-9._-]{0,63}';
export const CARD_TYPE = 'application/vnd.taskfc.card+json';
export const GROUP_TYPE = 'application/vnd.taskfc.group+json';
export const CARD_VERSION = 1;
export const OF_CARD = 'taskfc_card';

/** The number of tasks in each state. `n_ended`: ends since the controller started; it never decreases. */
export interface Counts {
  readonly waiting?: number;
  readonly scheduled?: number;
  readonly running?: number;
  readonly succeeded?: number;
  readonly failed?: number;
  readonly aborted?: number;
  readonly n_ended?: number;
}

/** One worker, as lists show it. */
export interface WorkerInfo {
  readonly worker: number;
  readonly pid: number;
  /** starting, setting up, idle, busy, waiting (its task waits for other tasks), or retiring. */
  readonly state: string;
  /** a task id. */
  readonly running: number | null;
  /** the number of tasks that it holds. */
  readonly held: number;
  /** the last broadcast that failed on it, with the error. */
  readonly problem: string;
  /** the first tasks that its task waits for. */
  readonly waits_for: readonly number[];
  /** it has the place of a waiting worker, and ends when it is not needed any more. */
  readonly is_substitute: boolean;
  /** the name of its host; "": this machine. */
  readonly place: string;
}

/** The engine in whose slots the workers of a farm run. */
export interface EngineInfo {
  /** "dask" or "ray". */
  readonly kind: string;
  /** its address; "ray": the cluster that the farm's machine is a node of. */
  readonly url: string;
  /** connecting, connected, or lost: it cannot be reached, and the farm tries again. */
  readonly state: string;
  /** wall-clock time since which it is in that state. */
  readonly since: number;
  /** the reason, such as "connection refused"; "" if there is none. */
  readonly text: string;
  /** number of its hosts that have workers. */
  readonly n_places: number;
  /** largest number of workers. */
  readonly limit: number;
}

/** Facts that the `n` tasks of one submission share; their ids are `first`, `first + 1`, ... */
export interface Batch {
  readonly first: number;
  readonly n: number;
  readonly label: string;
  readonly name?: string | null;
  /** the notebook or script that submitted them. */
  readonly owner?: string;
  /** wall-clock seconds. */
  readonly submitted?: number;
  readonly priority?: number;
  /** the first tasks that each of them comes after, or takes the result of. */
  readonly after?: readonly number[];
  /** the number of those; 0: all are in `after`. */
  readonly n_after?: number;
  /** the finished task that each of them retries; empty if they are not retries. */
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

/** Tasks `first` to `first + n - 1`, all in one state, without further details. `held`: kept from the workers. */
export type Run = readonly [first: number, n: number, state: StateCode, held?: boolean];

/** The progress of a running task, as its code reports it. `total` is `None` if it is not known. */
export interface TaskProgress {
  readonly done: number;
  readonly total: number | null;
  readonly description: string;
}

/** Details that few tasks have. */
export interface Note {
  /** why it has no value, as in `TaskInfo`. */
  readonly reason?: string;
  /** one line, at most `MESSAGE_CHARS` long: its failure, or why it waits. */
  readonly message?: string;
  /** that of the running attempt. */
  readonly progress?: TaskProgress | null;
  /** it is kept from the workers. */
  readonly held?: boolean;
  /** it is being stopped, by an abort or a timeout. */
  readonly stopping?: boolean;
  /** wall-clock time before which it has no next attempt. */
  readonly not_before?: number | null;
  /** workers that died in it. */
  readonly deaths?: number;
  /** if it differs from the batch's. */
  readonly priority?: number | null;
}

/** The present facts of tasks, in columns of equal length, by ascending id. */
export interface Rows {
  /** task ids. */
  readonly ids?: readonly number[];
  /** a `StateCode` each. */
  readonly states?: readonly number[];
  /** the worker that runs it or ran it last; -1: none yet. */
  readonly workers?: readonly number[];
  /** attempts that have begun. */
  readonly attempts?: readonly number[];
  /** wall-clock time at which the running attempt began; 0.0: none runs. */
  readonly started?: readonly number[];
  /** wall-clock time of its end; 0.0: it has not ended. */
  readonly completed?: readonly number[];
  /** run time of the last attempt of a task that has ended; 0.0: no attempt ran to its end. */
  readonly seconds?: readonly number[];
  /** the note of each task that has one. A row without a note removes an earlier one. */
  readonly notes?: Readonly<Record<number, Note>>;
}

/** The whole queue: all unfinished tasks, and the newest finished ones. */
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
  /** of all tasks, also of those that are not listed. */
  readonly counts: Counts;
  /** the intended number of workers; with an engine at most so many. */
  readonly n_workers: number;
  /** the present workers. */
  readonly workers: readonly WorkerInfo[];
  /** the engine that has them; `None`: they are processes of this machine. */
  readonly engine: EngineInfo | null;
  /** sentences for people while the store takes nothing new: why, where, what to do; "": there is room. */
  readonly no_room: string;
  /** of all tasks in `runs` and `rows`. */
  readonly batches: readonly Batch[];
  /** the tasks without further details. */
  readonly runs: readonly Run[];
  /** all other tasks. */
  readonly rows: Rows;
  /**
   * tasks that ended in each of the last seconds, oldest first, up to the second of `wall`; empty if they were not
   * counted.
   */
  readonly ends: readonly number[];
}

/** The queue's changes since the previous message. Other fields are those of `QueueSnapshot`. */
export interface QueueDelta {
  readonly type: 'delta';
  /** one more than in the previous message; a subscriber that misses one asks for a snapshot. */
  readonly seq: number;
  readonly farm: string;
  readonly wall: number;
  readonly counts: Counts;
  readonly n_workers: number;
  /** all workers, if anything about them has changed; else `None`. */
  readonly workers?: readonly WorkerInfo[] | null;
  readonly engine?: EngineInfo | null;
  readonly no_room?: string;
  /** the new ones. */
  readonly batches?: readonly Batch[];
  readonly runs?: readonly Run[];
  readonly rows?: Rows;
  /** ranges of tasks that were cleared: (first, n). */
  readonly cleared?: readonly (readonly [number, number])[];
}

/** The card of one task, as its kernel saw it last. */
export interface TaskCard {
  readonly version: number;
  /** id of the card, which the outputs beneath it have in their metadata. */
  readonly card: string;
  /** name of the task's farm. */
  readonly farm: string;
  readonly taskid: number;
  /** wall-clock seconds; tells the task from one of the same id in a fresh store. */
  readonly submitted: number;
  /** the task's name, or the label of its code. */
  readonly title: string;
  /** as the card shows it. */
  readonly state: string;
  /** wall-clock seconds of that. */
  readonly as_of: number;
}

/** The card of a group of tasks, as its kernel saw it last. */
export interface GroupOfTasks {
  readonly version: number;
  /** id of the card, which its buttons have in their metadata. */
  readonly card: string;
  /** name of the tasks' farm. */
  readonly farm: string;
  /** the first and the last id of each range of tasks. */
  readonly ranges: readonly (readonly [number, number])[];
  /** wall-clock seconds of the client; tells the tasks from those of the same ids in a fresh store. */
  readonly submitted: number;
  /** the map, with the name of its function. */
  readonly title: string;
  /** as the card shows it. */
  readonly state: string;
  /** wall-clock seconds of that. */
  readonly as_of: number;
}

/** The state of a farm, as one word. */
export const FarmState = {
  CONNECTING: 'connecting',
  LIVE: 'live',
  DEAD: 'dead',
  STOPPED: 'stopped',
  REFUSED: 'refused',
} as const;
export type FarmState = (typeof FarmState)[keyof typeof FarmState];

/** One farm, as the list of farms shows it. */
export interface FarmStatus {
  /** its name. */
  readonly name: string;
  /** its state. */
  readonly state: FarmState;
  /** if it is not live, a sentence for users: the fact and what to do. */
  readonly message?: string;
  /** identifies its processes; empty if there are none. A command with another identity is refused. */
  readonly identity?: string;
  /** of its tasks; `None` while unknown. */
  readonly counts?: Counts | null;
  /** the intended number of workers. */
  readonly n_workers?: number;
  /** the Python version of its workers. */
  readonly python?: string;
  /** the engine that has them. */
  readonly engine?: EngineInfo | null;
  /** as in `QueueSnapshot`. */
  readonly no_room?: string;
  /** its tasks and results are in memory only, and go with it. */
  readonly in_memory?: boolean;
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

/** The details of one farm. `store_bytes`: the size of its store on the disk. */
export interface FarmDetails {
  readonly store_bytes: number;
}

/** One task, as lists show it. */
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
  /** the present one; for a finished task, the submitted one. */
  readonly priority: number;
  readonly submitted: number;
  readonly completed: number | null;
  /** run time of the running attempt, or of the last one, in seconds. */
  readonly elapsed: number | null;
  readonly owner: string;
  /** the cell of a notebook that it comes from; empty if it comes from none. */
  readonly cell: string;
  readonly message: string;
  /** that of the running attempt, if it has reported any. */
  readonly progress: TaskProgress | null;
  /** the finished task that this one retries. */
  readonly retry_of: number | null;
  /** wall-clock time before which a failed task has no next attempt. */
  readonly not_before: number | null;
  /** unfinished tasks that it waits for while it runs, at most 100; a substitute has its worker's place. */
  readonly waits_for: readonly number[];
}

/** Tasks as lists show them, newest last. */
export interface Tasks {
  readonly tasks: readonly TaskInfo[];
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
  /** the begin of its source, if it was asked for; a function has none. */
  readonly source?: string;
  /** characters after that. */
  readonly n_source_cut?: number;
  /** bytes of its pickled result; absent: it has none. */
  readonly size?: number | null;
}

export type ViewMessage = Farms | QueueSnapshot | QueueDelta;

export type ViewQuestion = Watch | Unwatch;

export type AnyCommand = Abort | Retry | Hold | Release | Move | Clear | RetryFailed | Scale | Start | Stop;

// A fake farm with a busy queue, for the demo page and for tests. Deterministic; time is an argument.

import { StateCode } from '../src/link/messages';
import type {
  AnyCommand,
  Batch,
  CommandAnswer,
  Counts,
  EngineInfo,
  Note,
  QueueDelta,
  QueueSnapshot,
  Rows,
  Run,
  TaskDetails,
  WorkerInfo
} from '../src/link/messages';

interface FakeTask {
  state: StateCode;
  worker: number;
  attempts: number;
  started: number;
  completed: number;
  seconds: number;
  note: Note | null;
  /** When the running attempt ends. */
  due: number;
}

export interface FakeOptions {
  readonly name?: string;
  readonly queued?: number;
  readonly workers?: number;
  /** Task ends per second. */
  readonly rate?: number;
  readonly wall?: number;
}

const BATCH = 4096;
const NAMES = ['simulate', 'fit_model', 'bootstrap', 'render', '<img src=x onerror=alert(1)>', 'train \u202egnp.exe'];
const OWNERS = ['analysis/one.ipynb', 'analysis/two with a long name.ipynb', 'scripts/nightly.py'];
const SOURCE = '# fit\nimport numpy as np\n\nmodel = fit(x, y)\nmodel.score(x, y)\n';
const NAMES_OF_STATES = ['', 'waiting', 'scheduled', 'running', 'succeeded', 'failed', 'aborted'] as const;

export class FakeFarm {
  readonly name: string;
  readonly tasks: FakeTask[] = [];
  readonly batches: Batch[] = [];
  wall: number;
  seq = 0;
  nEnded = 0;
  private readonly nWorkers: number;
  private readonly rate: number;
  private readonly removed = new Set<number>();
  private readonly changed = new Set<number>();
  private newBatches: Batch[] = [];
  private cleared: [number, number][] = [];
  private next = 0;
  private seed = 1;

  /** The engine that has the workers; they are processes of this machine without. */
  engine: EngineInfo | null = null;

  constructor({ name = 'default', queued = 100_000, workers = 6, rate = 10, wall = 1_790_000_000 }: FakeOptions = {}) {
    this.name = name;
    this.nWorkers = workers;
    this.rate = rate;
    this.wall = wall;
    for (let n = queued, kind = 0; n > 0; n -= BATCH, kind++) this.submit(Math.min(n, BATCH), kind);
    this.newBatches = [];
    this.changed.clear();
  }

  submit(n: number, kind = 0): void {
    const batch: Batch = {
      first: this.tasks.length,
      n,
      label: `${NAMES[kind % NAMES.length]}`,
      name: kind % 3 === 2 ? `named_${kind}` : null,
      owner: OWNERS[kind % OWNERS.length],
      submitted: this.wall - 600 + kind,
      priority: kind % 4 === 3 ? 5 : 0,
      ...(kind > 0 && kind % 5 === 4 && { after: Array.from({ length: 9 }, (_, at) => this.tasks.length - 9 + at) })
    };
    this.batches.push(batch);
    this.newBatches.push(batch);
    for (let at = 0; at < n; at++) {
      const state = kind % 5 === 4 ? StateCode.WAITING : StateCode.SCHEDULED;
      this.changed.add(this.tasks.length);
      this.tasks.push({
        state,
        worker: -1,
        attempts: 0,
        started: 0,
        completed: 0,
        seconds: 0,
        note: null,
        due: Infinity
      });
    }
  }

  /** Advance the time; return the delta. */
  step(seconds: number): QueueDelta {
    const until = this.wall + seconds;
    for (;;) {
      this.fillWorkers();
      const running = this.running().sort((a, b) => this.tasks[a]!.due - this.tasks[b]!.due)[0];
      if (running === undefined || this.tasks[running]!.due > until) break;
      this.wall = Math.max(this.wall, this.tasks[running]!.due);
      this.end(running);
    }
    this.wall = until;
    for (const id of this.running()) this.report(id);
    return this.delta();
  }

  snapshot(): QueueSnapshot {
    this.flush();
    const rows: number[] = [];
    const runs: Run[] = [];
    this.tasks.forEach((task, id) => {
      if (this.removed.has(id)) return;
      const isPlain = task.attempts === 0 && task.note === null && task.completed === 0;
      if (!isPlain) rows.push(id);
      else addTo(runs, id, task.state);
    });
    return {
      type: 'snapshot',
      seq: this.seq,
      farm: this.name,
      incarnation: 1,
      wall: this.wall,
      counts: this.counts(),
      n_workers: this.nWorkers,
      workers: this.workers(),
      engine: this.engine,
      no_room: '',
      batches: this.batches.filter(batch => this.hasTasks(batch)),
      runs,
      rows: this.rows(rows),
      ends: []
    };
  }

  command(command: AnyCommand): CommandAnswer {
    if (command.do === 'clear') {
      const before = this.removed.size;
      this.tasks.forEach((task, id) => task.state >= StateCode.SUCCEEDED && this.clear(id));
      return { ok: true, said: `${this.removed.size - before} finished tasks cleared` };
    }
    if (!('taskids' in command) || !command.taskids) return { ok: false, said: `this farm cannot ${command.do}` };
    for (const id of command.taskids) this.act(command, id);
    return { ok: true, said: `${command.do}: ${command.taskids.length} tasks` };
  }

  details(taskid: number, isWithSource = false): TaskDetails {
    const task = this.tasks[taskid];
    const batch = this.batches.find(each => each.first <= taskid && taskid < each.first + each.n);
    if (task === undefined || batch === undefined) throw new Error(`There is no task ${taskid}.`);
    const isFailed = task.state === StateCode.FAILED;
    const lines = Math.min(400, Math.floor(task.attempts ? (this.wall - (task.started || this.wall)) * 4 + 5 : 0));
    return {
      task: {
        taskid,
        name: batch.name ?? null,
        label: batch.label,
        state: NAMES_OF_STATES[task.state],
        reason: '',
        stopping: false,
        held: task.note?.held ?? false,
        worker: task.worker,
        attempts: task.attempts,
        deaths: 0,
        priority: 0,
        submitted: batch.submitted ?? 0,
        completed: task.completed || null,
        elapsed: task.seconds || null,
        cell: '',
        owner: batch.owner ?? '',
        message: task.note?.message ?? '',
        progress: task.note?.progress ?? null,
        retry_of: null,
        not_before: null,
        waits_for: []
      },
      log: Array.from({ length: lines }, (_, at) => `epoch ${at}: loss ${(1 / (at + 1)).toFixed(4)}\n`).join(''),
      source: isWithSource ? SOURCE : '',
      version: task.completed ? '2' : '1',
      outputs: task.completed ? [picture(), { output_type: 'execute_result', data: { 'text/plain': '0.9731' } }] : [],
      traceback: isFailed ? TRACEBACK : '',
      exception: isFailed ? 'ZeroDivisionError' : ''
    };
  }

  private act(command: AnyCommand, id: number): void {
    const task = this.tasks[id];
    if (task === undefined) return;
    this.changed.add(id);
    if (command.do === 'abort' && task.state < StateCode.SUCCEEDED) this.finish(id, StateCode.ABORTED, 'aborted');
    if (command.do === 'hold') task.note = { ...task.note, held: true };
    if (command.do === 'release') task.note = { ...task.note, held: false };
    if (command.do === 'move') task.note = { ...task.note, priority: command.priority };
  }

  private clear(id: number): void {
    if (this.removed.has(id)) return;
    this.removed.add(id);
    const last = this.cleared[this.cleared.length - 1];
    if (last !== undefined && last[0] + last[1] === id) last[1] += 1;
    else this.cleared.push([id, 1]);
  }

  private running(): number[] {
    const found: number[] = [];
    for (let id = 0; id < this.next; id++) if (this.tasks[id]!.state === StateCode.RUNNING) found.push(id);
    return found;
  }

  private fillWorkers(): void {
    const busy = new Map(this.running().map(id => [this.tasks[id]!.worker, id]));
    for (let worker = 0; worker < this.nWorkers; worker++) {
      if (busy.has(worker)) continue;
      while (this.next < this.tasks.length && !this.isReady(this.tasks[this.next]!)) this.next++;
      const task = this.tasks[this.next];
      if (task === undefined) return;
      const lasts = (this.nWorkers / this.rate) * (0.2 + 1.6 * this.random()) * (worker === 0 ? 20 : 1);
      Object.assign(task, {
        state: StateCode.RUNNING,
        worker,
        attempts: 1,
        started: this.wall,
        due: this.wall + lasts
      });
      this.changed.add(this.next);
      this.next++;
    }
  }

  private isReady(task: FakeTask): boolean {
    return task.state === StateCode.SCHEDULED && task.note?.held !== true;
  }

  private report(id: number): void {
    const task = this.tasks[id]!;
    if (task.worker % 2 === 1) return;
    const done = Math.floor((100 * (this.wall - task.started)) / (task.due - task.started));
    task.note = { ...task.note, progress: { done, total: 100, description: 'epochs' } };
    this.changed.add(id);
  }

  private end(id: number): void {
    const luck = this.random();
    if (luck < 0.06) this.finish(id, StateCode.FAILED, 'error', 'ZeroDivisionError: division by zero');
    else if (luck < 0.09) this.finish(id, StateCode.ABORTED, 'aborted');
    else this.finish(id, StateCode.SUCCEEDED);
  }

  private finish(id: number, state: StateCode, reason = '', message = ''): void {
    const task = this.tasks[id]!;
    const seconds = task.started ? Math.fround(this.wall - task.started) : 0;
    const note = reason ? { reason, ...(message && { message }) } : null;
    Object.assign(task, { state, completed: this.wall, seconds, started: 0, due: Infinity, note });
    this.nEnded += 1;
    this.changed.add(id);
  }

  private random(): number {
    this.seed = (this.seed * 16807) % 2147483647;
    return this.seed / 2147483647;
  }

  private hasTasks(batch: Batch): boolean {
    for (let id = batch.first; id < batch.first + batch.n; id++) if (!this.removed.has(id)) return true;
    return false;
  }

  private counts(): Counts {
    const counts = [0, 0, 0, 0, 0, 0, 0];
    this.tasks.forEach((task, id) => this.removed.has(id) || counts[task.state]!++);
    const [, waiting, scheduled, running, succeeded, failed, aborted] = counts;
    return { waiting, scheduled, running, succeeded, failed, aborted, n_ended: this.nEnded };
  }

  private workers(): WorkerInfo[] {
    const running = new Map(this.running().map(id => [this.tasks[id]!.worker, id]));
    return Array.from({ length: this.nWorkers }, (_, worker) => ({
      worker,
      pid: 1000 + worker,
      state: running.has(worker) ? 'busy' : 'idle',
      running: running.get(worker) ?? null,
      held: 0,
      problem: '',
      waits_for: [],
      is_substitute: false,
      place: this.engine === null ? '' : `node${worker % 3}`
    }));
  }

  private rows(ids: readonly number[]): Rows {
    const tasks = ids.map(id => this.tasks[id]!);
    const notes = ids.filter(id => this.tasks[id]!.note !== null).map(id => [id, this.tasks[id]!.note!] as const);
    return {
      ids,
      states: tasks.map(task => task.state),
      workers: tasks.map(task => task.worker),
      attempts: tasks.map(task => task.attempts),
      started: tasks.map(task => task.started),
      completed: tasks.map(task => task.completed),
      seconds: tasks.map(task => task.seconds),
      notes: Object.fromEntries(notes)
    };
  }

  private delta(): QueueDelta {
    const changed = [...this.changed].filter(id => !this.removed.has(id)).sort((a, b) => a - b);
    const delta: QueueDelta = {
      type: 'delta',
      seq: this.seq + 1,
      farm: this.name,
      wall: this.wall,
      counts: this.counts(),
      n_workers: this.nWorkers,
      workers: this.workers(),
      engine: this.engine,
      batches: this.newBatches,
      rows: this.rows(changed),
      cleared: this.cleared
    };
    this.seq += 1;
    this.flush();
    return delta;
  }

  private flush(): void {
    this.changed.clear();
    this.newBatches = [];
    this.cleared = [];
  }
}

function addTo(runs: Run[], id: number, state: StateCode): void {
  const last = runs[runs.length - 1];
  if (last !== undefined && last[2] === state && last[0] + last[1] === id)
    runs[runs.length - 1] = [last[0], last[1] + 1, state];
  else runs.push([id, 1, state]);
}

function picture(): unknown {
  const svg = [
    '<svg xmlns="http://www.w3.org/2000/svg" width="240" height="120"><rect width="240" height="120" fill="#fff"/>',
    '<polyline fill="none" stroke="#1f77b4" stroke-width="2" points="10,100 50,70 90,80 130,40 170,50 230,15"/></svg>'
  ];
  return { output_type: 'display_data', data: { 'image/svg+xml': svg, 'text/plain': '<Figure size 240x120>' } };
}

const TRACEBACK = [
  '\u001b[31m---------------------------------------------------------------------------\u001b[39m',
  '\u001b[31mZeroDivisionError\u001b[39m                         Traceback (most recent call last)',
  'In[7] line 3, in simulate(seed)',
  '      1 def simulate(seed):',
  '      2     rng = random.Random(seed)',
  '\u001b[32m----> 3     return 1 / rng.choice([0, 0, 1])',
  '\u001b[31mZeroDivisionError\u001b[39m: division by zero'
].join('\n');

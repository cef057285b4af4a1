import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';

import { CommandPath, ServerPath } from '../../src/link/command-path';
import { KernelPath } from '../../src/link/kernel-path';
import type { AnyCommand, FarmStatus, QueueSnapshot, ViewQuestion } from '../../src/link/messages';
import { VIEW_PROTOCOL } from '../../src/link/messages';
import { carrierOf } from '../../src/link/server';
import type { Server } from '../../src/link/server';
import { QueueStore } from '../../src/link/store';
import type { ToKernel } from '../../src/link/transport';
import { LOOKING_EVERY_MS, Source } from '../../src/link/source';

const SNAPSHOT: QueueSnapshot = {
  type: 'snapshot', seq: 7, farm: 'f', incarnation: 1, wall: 1, counts: { running: 1 }, n_workers: 1,
  workers: [], batches: [], runs: [], rows: {}, ends: []
}; // prettier-ignore

const STATUS: FarmStatus = { name: 'f', state: 'live', identity: 'one' };

/** A kernel that may be gone, and a server that may know farms. */
class World {
  readonly told: ToKernel[] = [];
  readonly asked: ViewQuestion[] = [];
  isClosed = false;
  knowsFarms = true;
  socket: { onopen?: () => void; onmessage?: (event: { data: string }) => void } = {};
  readonly source: Source;
  readonly store: QueueStore;

  constructor(hasServer = true) {
    const server: Server = {
      request: async () => new Response('{}', { status: this.knowsFarms ? 200 : 404 }),
      socket: () => {
        const send = (text: string): number => this.asked.push(JSON.parse(text) as ViewQuestion);
        return (this.socket = { send, close: () => undefined } as never) as unknown as WebSocket;
      }
    };
    const tell = (message: ToKernel): void => {
      if (this.isClosed) throw new Error('Cannot send');
      this.told.push(message);
    };
    this.source = new Source(tell, () => this.store, hasServer ? server : null);
    this.store = new QueueStore(this.source.ask);
    this.store.show('f');
    this.store.receive(SNAPSHOT);
  }

  async reached(): Promise<void> {
    await vi.waitFor(() => expect(this.socket.onopen).toBeDefined());
    this.socket.onopen!();
  }

  tells(message: unknown): void {
    this.socket.onmessage!({ data: JSON.stringify(message) });
  }
}

beforeEach(() => void vi.useFakeTimers());
afterEach(() => void vi.useRealTimers());

describe('a widget whose kernel was restarted', () => {
  test('follows its farm through the server', async () => {
    const world = new World();
    expect(world.store.isLive).toBe(true);
    world.source.lost();
    expect(world.store.isLive).toBe(false);
    await world.reached();
    expect(world.asked).toEqual([{ ask: 'watch', farm: 'f' }]);
    world.tells({ type: 'farms', protocol: VIEW_PROTOCOL, version: '1', farms: [STATUS] });
    world.tells({ ...SNAPSHOT, seq: 3, counts: { running: 5 } });
    expect(world.store.isLive).toBe(true);
    expect(world.store.queue.counts.running).toBe(5);
    world.source.dispose();
  });

  test.each([['has no server', false, true], ['has a server that knows no farms', true, false]])(
    'says what to do when its page %s',
    async (_, hasServer, knowsFarms) => {
      const world = new World(hasServer);
      world.knowsFarms = knowsFarms;
      world.source.lost();
      await vi.advanceTimersByTimeAsync(60_000);
      expect(world.store.problem).toContain('Run %task widget again');
      expect(() => world.source.say({ number: 1, details: { taskid: 1 } })).toThrow('Run %task widget again');
      world.source.dispose();
    }
  );

  test('notices it by what it says, where nobody tells', async () => {
    const world = new World();
    vi.advanceTimersByTime(LOOKING_EVERY_MS);
    expect(world.told[world.told.length - 1]).toEqual({ looking: true });
    world.isClosed = true;
    vi.advanceTimersByTime(LOOKING_EVERY_MS);
    expect(world.source.isThere()).toBe(false);
    await world.reached();
    world.source.dispose();
  });
});

describe('a retry', () => {
  const retry: AnyCommand = { do: 'retry', taskids: [1] };
  const asked: string[] = [];

  function path(source: Source): CommandPath {
    vi.stubGlobal('fetch', async (url: string, options: RequestInit) => {
      asked.push(`${options.method ?? 'GET'} ${url}`);
      const farms = { type: 'farms', farms: [STATUS] };
      return new Response(JSON.stringify(options.method === 'POST' ? { ok: true, said: 'by the server' } : farms));
    });
    const kernel = new KernelPath(source.say, source.isThere);
    return new CommandPath(new ServerPath(carrierOf({ baseUrl: '/', token: '' }, () => '')), kernel, () => 'one');
  }

  afterEach(() => {
    vi.unstubAllGlobals();
    asked.length = 0;
  });

  test('goes to the notebook, whose modules and names it is about', () => {
    const world = new World();
    void path(world.source).command('f', retry);
    expect(world.told[world.told.length - 1]).toMatchObject({ command: { do: 'retry', taskids: [1], identity: 'one' } });
    expect(asked).toEqual([]);
    world.source.dispose();
  });

  test('goes to the server when the notebook is gone', async () => {
    const world = new World(false);
    world.source.lost();
    expect((await path(world.source).command('f', retry)).said).toBe('by the server');
    expect(asked).toEqual(['GET /taskfc/api/farms', 'POST /taskfc/api/farms/f']);
    world.source.dispose();
  });
});

// The source of a widget's messages: kernel or server.

import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';

import { CommandPath, ServerPath } from '../../src/link/command-path';
import { KernelPath } from '../../src/link/kernel-path';
import type { AnyCommand, FarmStatus, QueueSnapshot, ViewQuestion } from '../../src/link/messages';
import { VIEW_PROTOCOL } from '../../src/link/messages';
import { serverAt } from '../../src/link/server';
import type { Server } from '../../src/link/server';
import { QueueStore } from '../../src/link/store';
import type { ToKernel } from '../../src/link/transport';
import { KEEP_ALIVE_EVERY_MS, WidgetSource } from '../../src/link/widget-source';

const SNAPSHOT: QueueSnapshot = {
  type: 'snapshot', seq: 7, farm: 'f', incarnation: 1, wall: 1, counts: { running: 1 }, n_workers: 1,
  workers: [], engine: null, no_room: '', batches: [], runs: [], rows: {}, ends: []
}; // prettier-ignore

const STATUS: FarmStatus = { name: 'f', state: 'live', identity: 'one' };

/** A kernel that may be gone, and a server that may have the extension. */
class World {
  readonly sent: ToKernel[] = [];
  readonly asked: ViewQuestion[] = [];
  isClosed = false;
  hasExtension = true;
  socket: { onopen?: () => void; onmessage?: (event: { data: string }) => void } = {};
  readonly source: WidgetSource;
  readonly store: QueueStore;

  constructor(hasServer = true) {
    const server: Server = {
      request: async () => new Response('{}', { status: this.hasExtension ? 200 : 404 }),
      socket: () => {
        const send = (text: string): number => this.asked.push(JSON.parse(text) as ViewQuestion);
        return (this.socket = { send, close: () => undefined } as never) as unknown as WebSocket;
      }
    };
    const send = (message: ToKernel): void => {
      if (this.isClosed) throw new Error('Cannot send');
      this.sent.push(message);
    };
    this.source = new WidgetSource(send, () => this.store, hasServer ? server : null);
    this.store = new QueueStore(this.source.ask);
    this.store.show('f');
    this.store.receive(SNAPSHOT);
  }

  async openSocket(): Promise<void> {
    await vi.waitFor(() => expect(this.socket.onopen).toBeDefined());
    this.socket.onopen!();
  }

  deliver(message: unknown): void {
    this.socket.onmessage!({ data: JSON.stringify(message) });
  }
}

beforeEach(() => void vi.useFakeTimers());
afterEach(() => void vi.useRealTimers());

describe('a widget whose kernel was restarted', () => {
  test('watches its farm through the server', async () => {
    const world = new World();
    expect(world.store.isLive).toBe(true);
    world.source.switchToServer();
    expect(world.store.isLive).toBe(false);
    await world.openSocket();
    expect(world.asked).toEqual([{ ask: 'watch', farm: 'f' }]);
    world.deliver({ type: 'farms', protocol: VIEW_PROTOCOL, version: '1', farms: [STATUS] });
    world.deliver({ ...SNAPSHOT, seq: 3, counts: { running: 5 } });
    expect(world.store.isLive).toBe(true);
    expect(world.store.queue.counts.running).toBe(5);
    world.source.dispose();
  });

  test.each([['has no server', false, true], ['has a server without the extension', true, false]])(
    'shows what to do if its page %s',
    async (_, hasServer, hasExtension) => {
      const world = new World(hasServer);
      world.hasExtension = hasExtension;
      world.source.switchToServer();
      await vi.advanceTimersByTimeAsync(60_000);
      expect(world.store.problem).toContain('Run %task widget again');
      expect(() => world.source.send({ number: 1, details: { taskid: 1 } })).toThrow('Run %task widget again');
      world.source.dispose();
    }
  );

  test('notices it when a message cannot be sent', async () => {
    const world = new World();
    vi.advanceTimersByTime(KEEP_ALIVE_EVERY_MS);
    expect(world.sent[world.sent.length - 1]).toEqual({ looking: true });
    world.isClosed = true;
    vi.advanceTimersByTime(KEEP_ALIVE_EVERY_MS);
    expect(world.source.isAlive()).toBe(false);
    await world.openSocket();
    world.source.dispose();
  });
});

describe('a retry', () => {
  const retry: AnyCommand = { do: 'retry', taskids: [1] };
  const asked: string[] = [];

  function path(source: WidgetSource): CommandPath {
    vi.stubGlobal('fetch', async (url: string, options: RequestInit) => {
      asked.push(`${options.method ?? 'GET'} ${url}`);
      const farms = { type: 'farms', farms: [STATUS] };
      return new Response(JSON.stringify(options.method === 'POST' ? { ok: true, said: 'by the server' } : farms));
    });
    const kernel = new KernelPath(source.send, source.isAlive);
    return new CommandPath(new ServerPath(serverAt({ baseUrl: '/', token: '' }, () => '')), kernel, () => 'one');
  }

  afterEach(() => {
    vi.unstubAllGlobals();
    asked.length = 0;
  });

  test('goes to the kernel, which has the modules and names', () => {
    const world = new World();
    void path(world.source).command('f', retry);
    expect(world.sent[world.sent.length - 1]).toMatchObject({ command: { do: 'retry', taskids: [1], identity: 'one' } });
    expect(asked).toEqual([]);
    world.source.dispose();
  });

  test('goes to the server when the kernel is gone', async () => {
    const world = new World(false);
    world.source.switchToServer();
    expect((await path(world.source).command('f', retry)).said).toBe('by the server');
    expect(asked).toEqual(['GET /taskfc/api/farms', 'POST /taskfc/api/farms/f']);
    world.source.dispose();
  });
});

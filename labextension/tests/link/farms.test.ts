// The page's connection to the farms.

import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';

import { FarmsLink, delayBefore } from '../../src/link/farms';
import type { Farms, ViewMessage } from '../../src/link/messages';
import { VIEW_PROTOCOL } from '../../src/link/messages';

class Socket {
  onopen: () => void = () => undefined;
  onmessage: (event: { data: string }) => void = () => undefined;
  onclose: () => void = () => undefined;
  readonly sent: unknown[] = [];

  send(text: string): void {
    this.sent.push(JSON.parse(text));
  }

  close(): void {
    this.onclose();
  }

  deliver(message: ViewMessage): void {
    this.onmessage({ data: JSON.stringify(message) });
  }
}

/** A fake Jupyter server: its answers, and the requests that it got. */
class Server {
  status = 200;
  body: unknown = {};
  readonly asked: string[] = [];
  readonly sockets: Socket[] = [];

  async request(path: string, body?: string): Promise<Response> {
    this.asked.push(body === undefined ? path : `${path} ${body}`);
    if (this.status === 0) throw new TypeError('Failed to fetch');
    return new Response(JSON.stringify(this.body), { status: this.status });
  }

  socket(): WebSocket {
    this.sockets.push(new Socket());
    return this.last as unknown as WebSocket;
  }

  get last(): Socket {
    return this.sockets[this.sockets.length - 1]!;
  }
}

class Page extends EventTarget {
  hidden = false;
  config = '{}';

  getElementById(): { textContent: string } {
    return { textContent: this.config };
  }

  hide(hidden: boolean): void {
    this.hidden = hidden;
    this.dispatchEvent(new Event('visibilitychange'));
  }
}

const FARMS: Farms = { type: 'farms', protocol: VIEW_PROTOCOL, version: '1', farms: [{ name: 'default', state: 'live' }] };

const LATER = 10 * 60 * 1000;

let server: Server;
let page: Page;
let link: FarmsLink;

beforeEach(() => {
  vi.useFakeTimers();
  server = new Server();
  page = new Page();
  link = new FarmsLink(server, page as unknown as Document);
});

afterEach(() => {
  link.dispose();
  vi.useRealTimers();
});

async function connected(): Promise<Socket> {
  await link.connect();
  server.last.onopen();
  server.last.deliver(FARMS);
  return server.last;
}

describe('a page', () => {
  test('has one socket and the list of farms', async () => {
    await connected();
    await link.connect();
    expect(server.sockets).toHaveLength(1);
    expect(link.state).toBe('live');
    expect(link.message).toBe('');
    expect(link.status('default')?.state).toBe('live');
  });

  test('asks a server without the extension once and shows what to do', async () => {
    server.status = 404;
    await link.connect();
    await vi.advanceTimersByTimeAsync(LATER);
    expect(server.asked).toEqual(['farms']);
    expect(server.sockets).toEqual([]);
    expect(link.state).toBe('absent');
    expect(link.message).toContain('Install taskfc-ext');
    server.status = 200; // it was installed, and the user tries again
    await connected();
    expect(link.state).toBe('live');
  });

  test('does not ask again without permission', async () => {
    server.status = 403;
    await link.connect();
    await vi.advanceTimersByTimeAsync(LATER);
    expect(server.asked).toHaveLength(1);
    expect(link.state).toBe('refused');
  });

  test('of another version shows that and asks no more', async () => {
    await link.connect();
    server.last.onopen();
    server.last.deliver({ ...FARMS, protocol: VIEW_PROTOCOL + 1 });
    await vi.advanceTimersByTimeAsync(LATER);
    expect(link.state).toBe('foreign');
    expect(link.message).toContain('reload the page');
    expect(server.asked).toHaveLength(1);
  });

  test('reconnects after a loss and watches the same farms', async () => {
    const subscriber = link.subscribe(() => undefined);
    subscriber.ask({ ask: 'watch', farm: 'default' });
    const first = await connected();
    expect(first.sent).toEqual([{ ask: 'watch', farm: 'default' }]);
    first.close();
    expect(link.state).toBe('lost');
    await vi.advanceTimersByTimeAsync(1000);
    expect(server.sockets).toHaveLength(2);
    server.last.onopen();
    expect(server.last.sent).toEqual([{ ask: 'watch', farm: 'default' }]);
    expect(link.state).toBe('live');
  });

  test('asks a server that is down at growing intervals', async () => {
    server.status = 0;
    await link.connect();
    await vi.advanceTimersByTimeAsync(LATER);
    expect(server.asked.length).toBeGreaterThan(15);
    expect(server.asked.length).toBeLessThan(60);
  });

  test('waits longer and longer for a server that closes at once', async () => {
    await link.connect();
    for (let round = 0; round < 20; round++) {
      server.last.onopen();
      server.last.close();
      await vi.advanceTimersByTimeAsync(1000);
    }
    expect(server.sockets.length).toBeLessThan(8);
  });

  test('reports all farms as connecting while it is disconnected', async () => {
    const received: ViewMessage[] = [];
    link.subscribe(message => received.push(message));
    (await connected()).close();
    expect(received.at(-1)).toMatchObject({ farms: [{ name: 'default', state: 'connecting' }] });
  });
});

describe('in the background', () => {
  const farmsWith = (running: number): Farms => ({
    ...FARMS,
    farms: [
      { name: 'default', state: 'live', counts: { running, succeeded: 3 } },
      { name: 'old', state: 'stopped' }
    ]
  });

  test('it closes its connection while nothing runs, and opens it again when it is visible', async () => {
    const subscriber = link.subscribe(() => undefined);
    subscriber.ask({ ask: 'watch', farm: 'default' });
    const socket = await connected();
    const close = vi.spyOn(socket, 'close');
    socket.deliver(farmsWith(1));
    page.hide(true);
    await vi.advanceTimersByTimeAsync(LATER);
    expect(close).not.toHaveBeenCalled();
    socket.deliver(farmsWith(0));
    await vi.advanceTimersByTimeAsync(LATER);
    expect(close).toHaveBeenCalledOnce();
    expect([link.state, server.sockets.length]).toEqual(['live', 1]);
    page.hide(false);
    await vi.advanceTimersByTimeAsync(0);
    expect(server.sockets.length).toBe(2);
    subscriber.ask({ ask: 'watch', farm: 'old' });
    expect(server.last.sent).toEqual([]); // a socket that is not open yet throws
    server.last.onopen();
    expect(server.last.sent).toEqual([
      { ask: 'watch', farm: 'default' },
      { ask: 'watch', farm: 'old' }
    ]);
  });

  test('it stays connected if a task begins before the minute is over', async () => {
    const socket = await connected();
    const close = vi.spyOn(socket, 'close');
    socket.deliver(farmsWith(0));
    page.hide(true);
    await vi.advanceTimersByTimeAsync(70_000);
    socket.deliver(farmsWith(1));
    await vi.advanceTimersByTimeAsync(LATER);
    expect(close).not.toHaveBeenCalled();
  });

  test('it keeps its connection if the server is set to that', async () => {
    page.config = '{"taskfcStaysConnected": "true"}';
    const socket = await connected();
    const close = vi.spyOn(socket, 'close');
    socket.deliver(farmsWith(0));
    page.hide(true);
    await vi.advanceTimersByTimeAsync(LATER);
    expect(close).not.toHaveBeenCalled();
  });

  test('it watches nothing, and watches again when it is visible', async () => {
    const subscriber = link.subscribe(() => undefined);
    subscriber.ask({ ask: 'watch', farm: 'default' });
    const socket = await connected();
    page.hide(true);
    await vi.advanceTimersByTimeAsync(LATER);
    subscriber.ask({ ask: 'watch', farm: 'night' });
    expect(socket.sent.slice(1)).toEqual([{ ask: 'unwatch', farm: 'default' }]);
    page.hide(false);
    expect(socket.sent.slice(2)).toEqual([
      { ask: 'watch', farm: 'default' },
      { ask: 'watch', farm: 'night' }
    ]);
  });

  test('it does not ask a server that is down', async () => {
    const socket = await connected();
    page.hide(true);
    socket.close();
    await vi.advanceTimersByTimeAsync(LATER);
    expect(server.sockets).toHaveLength(1);
    page.hide(false);
    await vi.advanceTimersByTimeAsync(0);
    expect(server.sockets).toHaveLength(2);
  });

  test('a glance elsewhere changes nothing', async () => {
    const subscriber = link.subscribe(() => undefined);
    subscriber.ask({ ask: 'watch', farm: 'default' });
    const socket = await connected();
    page.hide(true);
    await vi.advanceTimersByTimeAsync(5000);
    page.hide(false);
    await vi.advanceTimersByTimeAsync(LATER);
    expect(socket.sent).toHaveLength(1);
  });
});

describe('two followers', () => {
  const delta = { type: 'delta', seq: 2, farm: 'default', wall: 0, counts: {}, n_workers: 1 } as const;

  test('get the farms that they watch, until the last one unwatches', async () => {
    const socket = await connected();
    const received: string[] = [];
    const one = link.subscribe(message => message.type === 'delta' && received.push('one'));
    const two = link.subscribe(message => message.type === 'delta' && received.push('two'));
    one.ask({ ask: 'watch', farm: 'default' });
    two.ask({ ask: 'watch', farm: 'default' });
    socket.deliver(delta);
    one.ask({ ask: 'unwatch', farm: 'default' });
    socket.deliver(delta);
    expect(received).toEqual(['one', 'two', 'two']);
    expect(socket.sent).not.toContainEqual({ ask: 'unwatch', farm: 'default' });
    two.dispose();
    expect(socket.sent).toContainEqual({ ask: 'unwatch', farm: 'default' });
  });

  test('get the list of farms also if they subscribe late', async () => {
    await connected();
    const received: string[] = [];
    link.subscribe(message => received.push(message.type));
    await vi.advanceTimersByTimeAsync(0);
    expect(received).toEqual(['farms']);
  });
});

describe('a command', () => {
  test('returns its answer', async () => {
    server.body = { ok: true, said: 'aborted task 3' };
    const answer = await link.command('my.farm', { do: 'abort', taskids: [3], identity: 'x' });
    expect(answer.said).toBe('aborted task 3');
    expect(server.asked).toEqual(['farms/my.farm {"do":"abort","taskids":[3],"identity":"x"}']);
  });

  test.each([
    [409, { message: 'It was restarted.' }, 'It was restarted.'],
    [404, {}, 'Install taskfc-ext'],
    [500, {}, 'HTTP 500'],
    [0, {}, 'does not answer']
  ])('that is refused with %i rejects with a message', async (status, body, sentence) => {
    server.status = status;
    server.body = body;
    await expect(link.command('default', { do: 'stop' })).rejects.toThrow(sentence);
  });

  test('that may have arrived is not to be repeated unchecked; a question may be', async () => {
    server.status = 0;
    await expect(link.command('default', { do: 'stop' })).rejects.toThrow(/^(?!.*Try again).*took effect/);
    await expect(link.details('default', 7)).rejects.toThrow('Try again later');
  });

  test('whose answer breaks off may have taken effect', async () => {
    server.request = async () => new Response('{"ok": tr');
    await expect(link.command('default', { do: 'stop' })).rejects.toThrow('Check whether the command took effect');
  });

  test('a request for details has the known version', async () => {
    await link.details('default', 7, 'a b');
    await link.details('default', 7, '', true);
    await link.details('default', 7, 'a', true);
    expect(server.asked).toEqual([
      'farms/default/tasks/7?known=a%20b',
      'farms/default/tasks/7?source=1',
      'farms/default/tasks/7?known=a&source=1'
    ]);
  });
});

test('delays grow to a bound, and differ', () => {
  expect(delayBefore(0, 0)).toBe(250);
  expect(delayBefore(0, 1)).toBe(500);
  expect(delayBefore(3, 1)).toBe(4000);
  expect(delayBefore(99, 1)).toBe(30_000);
});

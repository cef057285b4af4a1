// The path of commands, through the server or the kernel.

import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import { CommandPath, ServerPath } from '../../src/link/command-path';
import { formatRanges, KernelPath, splitCommandFrom, terminalFor } from '../../src/link/kernel-path';
import type { AnyCommand } from '../../src/link/messages';
import { addressOfPage, serverAt } from '../../src/link/server';
import type { ToKernel } from '../../src/link/transport';

const ABORT: AnyCommand = { do: 'abort', taskids: [12] };
const FARMS = {
  type: 'farms',
  farms: [{ name: 'default', state: 'live', identity: 'one' }],
  protocol: 1,
  version: '0'
};
const SAID = { ok: true, said: 'aborted task 12' };

interface Request {
  readonly method: string;
  readonly path: string;
  readonly body: unknown;
  readonly headers: Record<string, string>;
}

let requests: Request[];
let sent: ToKernel[];
let kernel: KernelPath;
let answers: Record<string, () => Response | Promise<Response>>;

function json(value: unknown, status = 200): Response {
  return new Response(JSON.stringify(value), { status });
}

beforeEach(() => {
  vi.useFakeTimers();
  requests = [];
  sent = [];
  kernel = new KernelPath(message => {
    sent.push(message);
    if ('command' in message)
      queueMicrotask(() => kernel.receive({ number: message.number, answer: { ok: true, said: 'by the kernel' } }));
  });
  answers = { 'GET farms': () => json(FARMS), 'POST farms/default': () => json(SAID) };
  vi.stubGlobal('fetch', async (url: string, options: RequestInit = {}) => {
    const method = options.method ?? 'GET';
    const path = url.replace('/user/me/taskfc/api/', '');
    requests.push({
      method,
      path,
      body: options.body && JSON.parse(String(options.body)),
      headers: options.headers as Record<string, string>
    });
    const answer = answers[`${method} ${path}`];
    if (answer === undefined) throw new TypeError('Failed to fetch');
    return answer();
  });
});

afterEach(() => {
  vi.useRealTimers();
  vi.unstubAllGlobals();
});

function path(
  identity = 'one',
  server = new ServerPath(
    serverAt({ baseUrl: '/user/me/', token: '' }, () => 'a=1; _xsrf=2%7Cx; b=2'),
    () => Date.now()
  )
): CommandPath {
  return new CommandPath(server, kernel, () => identity);
}

describe('through the server', () => {
  test('with the XSRF header and the identity; it is asked for its farms once', async () => {
    const ours = path();
    expect(await ours.command('default', ABORT)).toEqual(SAID);
    expect(await ours.command('default', ABORT)).toEqual(SAID);
    expect(requests.map(({ method, path }) => `${method} ${path}`)).toEqual([
      'GET farms',
      'POST farms/default',
      'POST farms/default'
    ]);
    expect(requests[1]).toMatchObject({ body: { ...ABORT, identity: 'one' }, headers: { 'X-XSRFToken': '2|x' } });
    expect(sent).toEqual([]);
  });

  test('a request for details has the known version of the outputs', async () => {
    answers['GET farms/default/tasks/12?known=a%26b'] = () => json({ task: {} });
    await path().details('default', 12, 'a&b');
    expect(requests.at(-1)?.path).toBe('farms/default/tasks/12?known=a%26b');
  });

  test('an error in the command is reported, and the command is not sent to the kernel as well', async () => {
    answers['POST farms/default'] = () => json({ message: 'there is no priority like that' }, 400);
    await expect(path().command('default', ABORT)).rejects.toThrow('there is no priority like that');
    expect(sent).toEqual([]);
  });
});

describe('through the kernel', () => {
  test.each([403, 404, 409])('if the server answers %d', async status => {
    answers['POST farms/default'] = () => json({}, status);
    expect(await path().command('default', ABORT)).toEqual({ ok: true, said: 'by the kernel' });
    expect(sent).toMatchObject([{ command: { ...ABORT, identity: 'one' } }]);
  });

  test('not if the command may have arrived before the connection broke', async () => {
    delete answers['POST farms/default'];
    await expect(path().command('default', ABORT)).rejects.toThrow('Check whether the command took effect');
    expect(sent).toEqual([]);
  });

  test('if there is no extension; the server is asked once', async () => {
    answers['GET farms'] = () => json({}, 404);
    const ours = path();
    for (let at = 0; at < 5; at++) {
      await ours.command('default', ABORT);
      vi.advanceTimersByTime(60_000);
    }
    expect([requests.length, sent.length]).toEqual([1, 5]);
  });

  test('until the server answers again', async () => {
    const ours = path();
    const list = answers['GET farms']!;
    delete answers['GET farms'];
    await ours.command('default', ABORT);
    await ours.command('default', ABORT);
    expect([requests.length, sent.length]).toEqual([1, 2]);
    answers['GET farms'] = list;
    vi.advanceTimersByTime(11_000);
    expect(await ours.command('default', ABORT)).toEqual(SAID);
    expect(sent).toHaveLength(2);
  });

  test('if the server has another farm of that name, or the identity is unknown', async () => {
    await path('another').command('default', ABORT);
    await path('').command('default', ABORT);
    expect(requests.map(request => request.path)).toEqual(['farms']);
    expect(sent).toHaveLength(2);
  });

  test('until the server lists a farm that was started later', async () => {
    const ours = path('two');
    await ours.command('default', ABORT);
    answers['GET farms'] = () => json({ ...FARMS, farms: [{ name: 'default', state: 'live', identity: 'two' }] });
    await ours.command('default', ABORT);
    expect(sent).toHaveLength(2);
    vi.advanceTimersByTime(11_000);
    expect(await ours.command('default', ABORT)).toEqual(SAID);
  });

  test('if the page is not from a Jupyter server', () => {
    expect(addressOfPage(document)).toBeNull();
    const config = document.createElement('script');
    config.type = 'application/json';
    config.id = 'jupyter-config-data';
    config.textContent = '{"baseUrl": "/user/me", "token": "t"}';
    document.body.append(config);
    expect(addressOfPage(document)).toEqual({ baseUrl: '/user/me/', token: 't' });
    config.remove();
  });
});

describe('a kernel that does not reply', () => {
  beforeEach(() => {
    kernel = new KernelPath(message => void sent.push(message));
  });

  test('leads to advice about the terminal, and may still answer', async () => {
    const notes: string[] = [];
    const answer = path('').command('default', { do: 'abort', taskids: [12, 3, 4, 5] }, note => notes.push(note));
    await vi.advanceTimersByTimeAsync(1400);
    expect(notes).toEqual([]);
    await vi.advanceTimersByTimeAsync(200);
    expect(notes).toEqual([
      'The kernel is busy or was restarted, and has not received this. Type in a terminal: taskfc abort 3-5 12'
    ]);
    const { number } = sent[0] as { number: number };
    kernel.receive({ number: number + 1, answer: { ok: true, said: 'of another page' } });
    kernel.receive({ number, heard: true });
    kernel.receive({ number, answer: SAID });
    expect(await answer).toEqual(SAID);
  });

  test('gets no advice after its acknowledgement', async () => {
    const notes: string[] = [];
    void path('').command('default', ABORT, note => notes.push(note));
    await vi.advanceTimersByTimeAsync(100);
    kernel.receive({ number: (sent[0] as { number: number }).number, heard: true });
    await vi.advanceTimersByTimeAsync(60_000);
    expect(notes).toEqual([]);
  });

  test('gets one question for several requests of the same details', async () => {
    const first = path('').details('default', 12);
    first.catch(() => undefined);
    await vi.advanceTimersByTimeAsync(4000);
    await expect(first).rejects.toThrow('taskfc log 12');
    const second = path('').details('default', 12);
    await vi.advanceTimersByTimeAsync(0);
    expect(sent).toHaveLength(1);
    const details = { task: {} as never, log: 'said' };
    kernel.receive({ number: (sent[0] as { number: number }).number, details });
    expect(await second).toEqual(details);
  });

  test('may refuse, which is an error with its reason', async () => {
    const asked = path('').details('default', 12);
    await vi.advanceTimersByTimeAsync(0);
    kernel.receive({ number: (sent[0] as { number: number }).number, problem: 'there is no task 12' });
    await expect(asked).rejects.toThrow('there is no task 12');
  });
});

test.each([
  [{ do: 'abort', taskids: [1] }, 'default', 'taskfc abort 1'],
  [{ do: 'retry', taskids: [1, 2] }, 'gpu', 'if it was restarted, type in a terminal: taskfc retry 1-2 --name gpu'],
  [{ do: 'clear' }, 'default', 'taskfc clear'],
  [{ do: 'clear', taskids: [3, 4, 9] }, 'gpu', 'taskfc clear 3-4 9 --name gpu'],
  [{ do: 'clear', taskids: Array.from({ length: 100 }, (_, at) => at * 2) }, 'gpu', 'taskfc clear --name gpu'],
  [{ do: 'scale', n: 3 }, 'default', 'taskfc scale 3'],
  [{ do: 'hold', taskids: [1] }, 'default', 'It will receive it when its cell ends.']
] as const)('%j on %s ends in %j', (command, farm, end) => {
  expect(terminalFor(farm, command).endsWith(end)).toBe(true);
});

test.each([
  [{ do: 'abort', taskids: [1] }, 'default', 'taskfc abort 1'],
  [{ do: 'retry', taskids: [1, 2] }, 'gpu', 'taskfc retry 1-2 --name gpu'],
  [{ do: 'stop' }, 'gpu', 'taskfc stop --name gpu'],
  [{ do: 'hold', taskids: [1] }, 'default', null]
] as const)('%j on %s has the command %j at its end', (command, farm, typed) => {
  const text = terminalFor(farm, command);
  const [advice, found] = splitCommandFrom(text);
  expect(found).toBe(typed);
  expect(typed === null ? advice : `${advice} ${typed}`).toBe(text);
  expect(advice).toMatch(typed === null ? /[.]$/ : /terminal:$/);
});

test('ids are written as ranges', () => {
  expect(formatRanges([5, 1, 2, 3, 9])).toBe('1-3 5 9');
  expect(formatRanges(Array.from({ length: 100 }, (_, at) => at * 2))).toMatch(/ 14 \.\.\.$/);
});

test('a choice goes to the kernel alone, and its answer comes back', async () => {
  const slow = vi.fn();
  const choice = { do: 'choose', verb: 'replace', taskids: [12], identity: 'one' } as const;
  const answer = kernel.choose(choice, slow);
  expect(requests).toEqual([]);
  const [message] = sent;
  expect(message).toEqual({ number: expect.any(Number), choose: choice });
  vi.advanceTimersByTime(2000);
  expect(slow).toHaveBeenCalledOnce();
  kernel.receive({ number: (message as { number: number }).number, answer: { ok: true, said: 'done' } });
  expect((await answer).said).toBe('done');
});

// Hostile texts and outputs of tasks.

import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import { StateCode } from '../../src/link/messages';
import type { TaskDetails } from '../../src/link/messages';
import { makeOutputElements } from '../../src/queue/outputs';
import { useFakeTimers, show } from './fixtures';
import type { Shown } from './fixtures';

const HOSTILE = [
  '<img src=x onerror="window.hurt = 1">',
  '<script>window.hurt = 1</script>',
  '"><svg onload=window.hurt=1>',
  'javascript:window.hurt=1',
  '\u202e\u2066bidi\u2069 \u0000\u0007\u001b]0;title\u0007\u001b[31mred',
  '&lt;b&gt; ${window.hurt=1} {{hurt}} $\\href{javascript:hurt}{x}$',
  'x'.repeat(10_000),
  'a\nb\r\nc\u2028d',
  ''
];

const BIDI_OR_CONTROL = /[\u0000-\u0008\u000b-\u001f\u007f-\u009f\u200e\u200f\u2028\u2029\u202a-\u202e\u2066-\u2069]/;

let shown: Shown;

beforeEach(() => useFakeTimers());

afterEach(() => {
  shown?.view.dispose();
  vi.useRealTimers();
});

/** Find elements that no view makes, and attributes that run code. */
function findHarmful(node: Element): string[] {
  const elements = [...node.querySelectorAll('*')];
  const tags = elements.filter(element =>
    /^(script|iframe|object|embed|link|style|a|foreignobject)$/i.test(element.tagName)
  );
  const attributes = elements.flatMap(element => [...element.attributes].filter(({ name }) => name.startsWith('on')));
  const images = [...node.querySelectorAll('img')].filter(image => !image.src.startsWith('data:image/'));
  return [...tags, ...images].map(element => element.outerHTML).concat(attributes.map(({ name }) => name));
}

test.each(HOSTILE.map((text, at) => [at, text] as const))(
  'all texts of a task stay text: number %i',
  async (_, hostile) => {
    shown = show({ queued: 0 });
    const { farm, view, node, host } = shown;
    farm.submit(1);
    const at = { first: 0, n: 1, submitted: farm.wall };
    const note = { reason: hostile, message: hostile, progress: { done: 1, total: 2, description: hostile } };
    const rows = {
      ids: [0],
      states: [StateCode.RUNNING],
      workers: [0],
      attempts: [1],
      started: [farm.wall],
      notes: { 0: note }
    };
    view.receive({
      type: 'delta',
      seq: 1,
      farm: farm.name,
      wall: farm.wall,
      counts: { running: 1 },
      n_workers: 1,
      workers: [
        { worker: 0, pid: 1, state: hostile, running: 0, held: 0, problem: hostile, waits_for: [], is_substitute: false, place: '' }
      ],
      batches: [{ ...at, label: hostile, name: hostile, owner: hostile }],
      rows
    });
    const outputs = [
      { output_type: 'display_data', data: { 'text/html': hostile, 'text/plain': hostile } },
      { output_type: 'display_data', data: { 'image/png': hostile, 'image/svg+xml': hostile } },
      { output_type: 'stream', name: hostile, text: [hostile, hostile] },
      { output_type: 'error', ename: hostile, evalue: hostile, traceback: [hostile] },
      hostile
    ];
    const task = farm.details(0).task;
    host.details = async (): Promise<TaskDetails> => ({
      task,
      log: hostile,
      traceback: hostile,
      note: hostile,
      source: hostile,
      exception: hostile,
      outputs,
      version: hostile
    });
    host.answer = { ok: false, said: hostile };
    view.receive({
      type: 'farms',
      farms: [{ name: farm.name, state: 'live', message: hostile }],
      protocol: 1,
      version: hostile
    });
    view.open(0);
    await vi.advanceTimersByTimeAsync(3000);
    shown.find('.taskfc-drawer [data-action=abort]').click();
    (document.activeElement as HTMLElement).click();
    await vi.advanceTimersByTimeAsync(100);
    expect(shown.host.commands).toHaveLength(1);
    expect(findHarmful(node)).toEqual([]);
    expect('hurt' in window).toBe(false);
    expect(node.textContent).not.toMatch(BIDI_OR_CONTROL);
    const attributes = [...node.querySelectorAll('*')].flatMap(element => [...element.attributes]);
    const texts = attributes.filter(({ name }) => name !== 'src' && name !== 'd').map(({ value }) => value);
    expect(texts.join('')).not.toMatch(BIDI_OR_CONTROL);
    expect(Math.max(...texts.map(value => value.length))).toBeLessThan(1500);
    for (const row of node.querySelectorAll('.taskfc-row')) expect(row.textContent!.length).toBeLessThan(1500);
  }
);

test('outputs are pictures only if their data are', () => {
  const png = 'iVBORw0KGgo=';
  const made = makeOutputElements([
    { output_type: 'display_data', data: { 'image/png': [png, '\n'], 'text/plain': '<Figure>' } },
    { output_type: 'display_data', data: { 'image/png': `${png}" onerror="hurt()`, 'text/plain': 'fig' } },
    { output_type: 'display_data', data: { 'text/html': '<table>' } },
    { output_type: 'display_data', data: {} },
    null,
    [1]
  ]);
  expect(made.map(element => element.tagName)).toEqual(['IMG', 'PRE', 'PRE']);
  expect((made[0] as HTMLImageElement).src).toBe(`data:image/png;base64,${png}`);
  expect((made[0] as HTMLImageElement).alt).toBe('<Figure>');
  expect(made[1]!.textContent).toBe('fig');
  expect(made[2]!.textContent).toBe('(text/html: shown in a notebook with %task show)');
});

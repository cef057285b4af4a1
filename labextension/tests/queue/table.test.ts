// The table: keyboard, pointer, rows and headers.

import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import { MAX_DOM_ROWS, ROW_HEIGHT } from '../../src/queue/table';
import { useFakeTimers, show } from './fixtures';
import type { Shown } from './fixtures';

let shown: Shown;

async function waitForFirst(taskid: number): Promise<void> {
  await vi.waitFor(() => expect(shown.rows()[0]).toBe(taskid), { timeout: 20_000 });
}

async function showSorted(options: Parameters<typeof show>[0] = {}): Promise<void> {
  shown = show({ queued: 50, ...options });
  shown.find('[data-key=id] button').click(); // newest first
  shown.find('[data-key=id] button').click(); // oldest first
  await waitForFirst(0);
}

beforeEach(() => useFakeTimers());

afterEach(() => {
  shown.view.dispose();
  expect(document.querySelector('.taskfc-queue')).toBeNull();
  vi.useRealTimers();
});

describe('the keyboard', () => {
  beforeEach(async () => showSorted());

  test('arrows move from row to row and stop at the ends', () => {
    shown.key('ArrowDown');
    expect([shown.focused(), shown.selected()]).toEqual([0, [0]]);
    shown.key('ArrowDown');
    shown.key('ArrowDown');
    expect([shown.focused(), shown.selected()]).toEqual([2, [2]]);
    for (let at = 0; at < 5; at++) shown.key('ArrowUp');
    expect(shown.focused()).toBe(0);
  });

  test('Home, End and pages', () => {
    shown.key('End');
    shown.key('Home');
    expect(shown.selected()).toEqual([0]);
    shown.key('PageDown');
    const page = shown.focused();
    expect(page).toBeGreaterThan(5);
    shown.key('PageUp');
    expect(shown.focused()).toBe(0);
  });

  test('Shift selects a range', () => {
    for (const key of ['ArrowDown', 'ArrowDown', 'ArrowDown']) shown.key(key);
    shown.key('ArrowDown', { shiftKey: true });
    shown.key('ArrowDown', { shiftKey: true });
    expect(shown.selected()).toEqual([2, 3, 4]);
    for (let at = 0; at < 3; at++) shown.key('ArrowUp', { shiftKey: true });
    expect(shown.selected()).toEqual([1, 2]);
  });

  test('Space selects and deselects a task', () => {
    shown.key('ArrowDown');
    shown.key(' ');
    expect(shown.selected()).toEqual([]);
    shown.key(' ');
    expect(shown.selected()).toEqual([0]);
  });

  test.each([{ ctrlKey: true }, { metaKey: true }])(
    '%j and A select all matching tasks, in the page or not',
    keys => {
      shown.key('a', keys);
      expect(shown.find('.taskfc-shown').textContent).toBe('50 tasks · 50 selected');
      shown.key('Escape');
      expect(shown.find('.taskfc-shown').textContent).toBe('50 tasks');
    }
  );

  test('Enter opens the drawer, arrows show the next task in it, Escape closes it', async () => {
    shown.key('ArrowDown');
    shown.key('Enter');
    expect(shown.find('.taskfc-drawer').hidden).toBe(false);
    expect(shown.find('.taskfc-drawer h3').textContent).toBe('0 · simulate');
    shown.key('ArrowDown');
    expect(shown.find('.taskfc-drawer h3').textContent).toBe('1 · simulate');
    await vi.advanceTimersByTimeAsync(0);
    expect(shown.host.detailed).toEqual([
      [0, undefined],
      [1, undefined]
    ]);
    shown.key('Escape');
    expect(shown.find('.taskfc-drawer').hidden).toBe(true);
    expect(shown.selected()).toEqual([1]);
  });

  test('handled keys do not reach the page, others do', () => {
    const send = (key: string): boolean =>
      shown.find('.taskfc-table').dispatchEvent(new KeyboardEvent('keydown', { key, bubbles: true, cancelable: true }));
    expect(['ArrowDown', 'End', ' ', 'Enter', 'Escape'].map(send)).toEqual([false, false, false, false, false]);
    expect(['b', 'Tab', 'F5'].map(send)).toEqual([true, true, true]);
  });

  test('the focus stays with its task when rows change', async () => {
    shown.find('[data-key=id] button').click(); // newest first
    await waitForFirst(49);
    shown.key('ArrowDown');
    shown.key('ArrowDown');
    expect(shown.focused()).toBe(48);
    shown.farm.submit(3);
    shown.view.receive(shown.farm.step(0.2));
    await vi.advanceTimersByTimeAsync(2000);
    await waitForFirst(52);
    expect([shown.focused(), shown.selected()]).toEqual([48, [48]]);
  });

  test('the focus keeps its row when its task is cleared', async () => {
    shown.view.receive(shown.farm.step(20));
    await vi.advanceTimersByTimeAsync(2000);
    for (let at = 0; at < 3; at++) shown.key('ArrowDown');
    const before = shown.focused();
    expect(before).toBe(2);
    shown.farm.command({ do: 'clear' });
    shown.view.receive(shown.farm.step(0.1));
    await vi.advanceTimersByTimeAsync(2000);
    expect(shown.rows()).not.toContain(before);
    expect(shown.selected()).toEqual([]);
    shown.key('ArrowDown');
    expect(shown.focused()).toBe(shown.rows()[2]);
  });
});

test('the pointer: a click selects and opens, Ctrl adds, Shift extends', async () => {
  await showSorted();
  const click = (row: number, more: MouseEventInit = {}): void =>
    void shown.node
      .querySelectorAll('.taskfc-row')
      [row]!.dispatchEvent(new MouseEvent('click', { bubbles: true, ...more }));
  click(1, { ctrlKey: true });
  click(3, { ctrlKey: true });
  expect(shown.selected()).toEqual([1, 3]);
  click(5, { shiftKey: true });
  expect(shown.selected()).toEqual([3, 4, 5]);
  expect(shown.find('.taskfc-drawer').hidden).toBe(true);
  click(2);
  expect(shown.selected()).toEqual([2]);
  expect(shown.find('.taskfc-drawer h3').textContent).toMatch(/^2 /);
  click(4, { detail: 2 }); // of a double click, the second one meets the row that has moved there
  expect(shown.selected()).toEqual([2]);
});

test('of a hundred thousand tasks at most a hundred are in the page, and the grid has the true row count', async () => {
  await showSorted({ queued: 100_000 });
  const scroller = shown.find('.taskfc-table');
  Object.defineProperty(scroller, 'clientHeight', { value: 5000 });
  for (const top of [0, 24_000, 2_399_000]) {
    scroller.scrollTop = top;
    scroller.dispatchEvent(new Event('scroll'));
    expect(shown.rows().length).toBeLessThanOrEqual(MAX_DOM_ROWS);
    expect(shown.rows().length).toBeGreaterThan(10);
  }
  expect(shown.find('.taskfc-table').getAttribute('aria-rowcount')).toBe('100001');
  const last = shown.node.querySelector('.taskfc-row:last-child')!;
  expect([last.getAttribute('aria-rowindex'), last.firstElementChild!.textContent]).toEqual(['100001', '99999']);
});

test('headers sort, and show the order', async () => {
  shown = show({ queued: 10 });
  const header = shown.find('[role=columnheader][data-key=id]');
  expect(header.getAttribute('aria-sort')).toBeNull();
  shown.find('[data-key=id] button').click();
  await waitForFirst(9);
  expect(header.getAttribute('aria-sort')).toBe('descending');
  shown.find('[data-key=id] button').click();
  await waitForFirst(0);
  expect(header.getAttribute('aria-sort')).toBe('ascending');
  expect(shown.node.querySelectorAll('[aria-sort]')).toHaveLength(1);
});

test('the row with the focus keeps its place in view while tasks above it end', async () => {
  shown = show({ queued: 200, rate: 5 });
  await vi.advanceTimersByTimeAsync(2000);
  const scroller = shown.find('.taskfc-table');
  scroller.scrollTop = 2400;
  scroller.dispatchEvent(new Event('scroll'));
  const row = [...shown.node.querySelectorAll('.taskfc-row')].find(each => each.firstElementChild!.textContent === '103')!;
  row.dispatchEvent(new MouseEvent('click', { bubbles: true, ctrlKey: true }));
  const at = (): number => Number(shown.find('.taskfc-mod-focus').getAttribute('aria-rowindex'));
  const [before, offset] = [at(), at() * ROW_HEIGHT - scroller.scrollTop];
  shown.view.receive(shown.farm.step(4));
  await vi.advanceTimersByTimeAsync(2000);
  scroller.dispatchEvent(new Event('scroll')); // as a browser does by itself
  expect(at()).toBeLessThan(before - 5);
  expect(at() * ROW_HEIGHT - scroller.scrollTop).toBe(offset);
});

// The context menu of the table, and the question before a clear.

import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import { FarmState, StateCode, VIEW_PROTOCOL } from '../../src/link/messages';
import { useFakeTimers, show } from './fixtures';
import type { Shown } from './fixtures';

let shown: Shown;
let copied: string[];

beforeEach(() => {
  useFakeTimers(Date.UTC(2026, 9, 1));
  copied = [];
  vi.stubGlobal('navigator', { ...navigator, clipboard: { writeText: async (text: string) => void copied.push(text) } });
});

afterEach(() => {
  shown.view.dispose();
  vi.unstubAllGlobals();
  vi.useRealTimers();
});

const settle = (): Promise<unknown> => vi.advanceTimersByTimeAsync(1500);

async function showLive(options: Parameters<typeof show>[0] = {}, prepare?: Parameters<typeof show>[1]): Promise<void> {
  shown = show(options, prepare);
  const farms = [{ name: 'default', state: FarmState.LIVE, identity: 'one' }];
  shown.view.receive({ type: 'farms', farms, protocol: VIEW_PROTOCOL, version: '0' });
  await settle();
}

const menu = (): HTMLElement => shown.find('[role=menu]');
const item = (label: string): HTMLElement =>
  [...menu().querySelectorAll<HTMLElement>('[role=menuitem]')].find(each => each.textContent === label)!;
const isOn = (label: string): boolean => item(label).getAttribute('aria-disabled') === null;
const press = (key: string): boolean =>
  document.activeElement!.dispatchEvent(new KeyboardEvent('keydown', { key, bubbles: true, cancelable: true }));

function rightClick(taskid: number): void {
  const row = [...shown.node.querySelectorAll('.taskfc-row')].find(each => each.firstElementChild!.textContent === `${taskid}`)!;
  row.dispatchEvent(new MouseEvent('contextmenu', { bubbles: true, cancelable: true, button: 2 }));
}

test('has the actions on the row under the pointer, and does them', async () => {
  await showLive();
  rightClick(4);
  expect([shown.selected(), menu().getAttribute('aria-label')]).toEqual([[4], 'Task 4']);
  expect(['Abort', 'Hold', 'Retry', 'Copy error'].map(isOn)).toEqual([true, true, false, false]);
  expect(shown.find('.taskfc-drawer').hidden).toBe(true);
  item('Retry').click();
  expect(menu().hidden).toBe(false);
  item('Hold').click();
  await settle();
  expect(menu().hidden).toBe(true);
  expect(document.activeElement).toBe(shown.find('.taskfc-table'));
  expect(shown.host.commands).toEqual([{ do: 'hold', taskids: [4], identity: 'one' }]);
});

test('acts on the whole selection if the row is a part of it', async () => {
  await showLive();
  shown.key('a', { ctrlKey: true });
  rightClick(3);
  expect(menu().getAttribute('aria-label')).toBe('50 tasks');
  item('Abort').click();
  expect(shown.find('.taskfc-question span').textContent).toBe('Abort 50 tasks?');
  expect(document.activeElement?.textContent).toBe('Yes, abort');
});

test.each([
  ['ContextMenu', {}],
  ['F10', { shiftKey: true }]
])('opens with %s, moves with arrows and letters, and closes with Escape', async (key, more) => {
  await showLive();
  shown.key('ArrowDown');
  shown.key(key, more);
  expect(document.activeElement?.textContent).toBe('Details');
  press('ArrowDown');
  expect(document.activeElement?.textContent).toBe('Abort');
  press('c');
  expect(document.activeElement?.textContent).toBe('Copy id');
  press('End');
  press('ArrowDown');
  expect(document.activeElement?.textContent).toBe('Details');
  press('Escape');
  expect([menu().hidden, document.activeElement]).toEqual([true, shown.find('.taskfc-table')]);
  expect(shown.selected()).toHaveLength(1);
});

test('copies ids, names and the traceback of a failed task', async () => {
  await showLive({ queued: 200, rate: 20 }, farm => void farm.step(15));
  const failed = shown.farm.tasks.findIndex(task => task.state === StateCode.FAILED);
  shown.view.open(failed);
  await settle();
  for (const what of ['id', 'name', 'error']) {
    rightClick(failed);
    item(`Copy ${what}`).click();
    await settle();
    expect(shown.find('.taskfc-said').textContent).toBe(`Copied the ${what}.`);
  }
  expect(copied.slice(0, 2)).toEqual([`${failed}`, 'simulate']);
  expect(copied[2]).toContain('ZeroDivisionError');
  expect(copied[2]).not.toContain('\u001b');
});

test('a clear says what the store takes', async () => {
  await showLive({ queued: 20, rate: 20 }, farm => void farm.step(15));
  shown.find<HTMLButtonElement>('.taskfc-inside > .taskfc-actions [data-action=clear]').click();
  await settle();
  expect(shown.find('.taskfc-question span').textContent).toBe(
    'Delete 20 finished tasks of all notebooks, with their results and outputs? The store takes 1.2 GB of the disk.'
  );
});

// The view of a queue as a whole.

import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import { FarmState, StateCode, VIEW_PROTOCOL } from '../../src/link/messages';
import type { FarmStatus, ViewMessage } from '../../src/link/messages';
import { QueueView } from '../../src/queue/view';
import { useFakeTimers, RecordingHost, show } from './fixtures';
import type { Shown } from './fixtures';

let shown: Shown;

beforeEach(() => useFakeTimers(Date.UTC(2026, 9, 1)));

afterEach(() => {
  vi.restoreAllMocks();
  shown.view.dispose();
  vi.useRealTimers();
});

function farms(more: Partial<FarmStatus> | null, protocol: number = VIEW_PROTOCOL): ViewMessage {
  const ours: FarmStatus[] =
    more === null ? [] : [{ name: 'default', state: FarmState.LIVE, identity: 'one', ...more }];
  return { type: 'farms', farms: ours, protocol, version: '0' };
}

async function settle(ms = 1500): Promise<void> {
  await vi.advanceTimersByTimeAsync(ms);
}

function text(selector: string): string {
  return shown.find(selector).textContent ?? '';
}

describe('the queue', () => {
  test('is counted, and changes with its messages', async () => {
    shown = show({ queued: 50, rate: 10 });
    await settle();
    const count = (state: string): string => text(`.taskfc-chip[data-state=${state}] .taskfc-count`);
    expect([count('scheduled'), count('running'), text('.taskfc-shown')]).toEqual(['50', '0', '50 tasks']);
    shown.view.receive(shown.farm.step(2));
    await settle();
    expect([count('running'), Number(count('succeeded'))]).toEqual(['2', expect.any(Number)]);
    expect(Number(count('succeeded'))).toBeGreaterThan(5);
    expect(text('.taskfc-rate')).toMatch(/\/s$/);
    expect(shown.node.querySelectorAll('.taskfc-lane-line:not([hidden])')).toHaveLength(2);
  });

  test('asks once for a snapshot after a gap', () => {
    shown = show();
    expect(shown.host.asked).toEqual([{ ask: 'watch', farm: 'default' }]);
    shown.farm.step(0.2);
    shown.view.receive(shown.farm.step(0.2));
    shown.view.receive(shown.farm.step(0.2));
    expect(shown.host.asked).toHaveLength(2);
    shown.view.receive(shown.farm.snapshot());
    shown.farm.step(0.2);
    shown.view.receive(shown.farm.step(0.2));
    expect(shown.host.asked).toHaveLength(3);
  });

  test('changes with the farm', async () => {
    shown = show();
    shown.view.show('other');
    await settle();
    expect(shown.host.asked.slice(1)).toEqual([
      { ask: 'unwatch', farm: 'default' },
      { ask: 'watch', farm: 'other' }
    ]);
    shown.view.receive(shown.farm.snapshot());
    await settle();
    expect(shown.rows()).toEqual([]);
    expect(text('.taskfc-empty > span')).toBe('Connecting …');
  });

  test('names its farm under a cell, where nothing else does', async () => {
    shown = show();
    const title = (node: HTMLElement): string => node.querySelector('.taskfc-section > span')!.textContent;
    expect(title(shown.node)).not.toContain('default');
    const host = Object.assign(new RecordingHost(shown.farm), { kind: 'widget' as const });
    const node = document.createElement('div');
    const view = new QueueView(node, host);
    view.show('default');
    view.receive(shown.farm.snapshot());
    await settle();
    expect(title(node)).toMatch(/^default · \d+ workers$/);
    view.dispose();
  });

  test('names the engine that has its workers, and their hosts', async () => {
    const engine = { kind: 'dask', url: 'tcp://head:8786', state: 'connected', since: 0, text: '', n_places: 3, limit: 40 };
    shown = show({ workers: 12 }, farm => (farm.engine = engine));
    await settle();
    expect(text('.taskfc-section > span')).toBe('Dask tcp://head:8786 · 12 of at most 40 workers on 3 hosts');
    expect(shown.find('.taskfc-lane-line').getAttribute('aria-label')).toMatch(/^Worker 0 on node0: /);
    shown.farm.engine = { ...engine, state: 'lost', since: shown.farm.wall, text: 'connection refused' };
    shown.view.receive(shown.farm.step(0.1));
    await settle();
    expect(text('.taskfc-section > span')).toMatch(/^Dask tcp:.* · not reachable since \d\d:\d\d \(connection refused\), trying$/);
    shown.farm.engine = null;
    shown.view.receive(shown.farm.step(0.1));
    await settle();
    expect(text('.taskfc-section > span')).toBe('12 workers');
  });

  test('shows what to do if it is empty', async () => {
    shown = show({ queued: 0 });
    await settle();
    expect(text('.taskfc-empty > span')).toBe('There are no tasks. Put %%task on top of a cell to submit one. Cleared tasks are not listed.');
    shown.farm.submit(3);
    shown.view.receive(shown.farm.step(0.1));
    await settle();
    expect([shown.find('.taskfc-empty').hidden, shown.rows().length]).toEqual([true, 3]);
  });
});

describe('sorted by state', () => {
  const ORDER = ['running', 'scheduled', 'waiting', 'failed', 'aborted', 'succeeded'];

  const ranks = (): number[] =>
    [...shown.node.querySelectorAll<HTMLElement>('.taskfc-row')].map(row => ORDER.indexOf(row.dataset.state!));

  test.each([
    ['costs nothing', 0],
    ['costs a millisecond a slice', 1]
  ])('no row stands among those of another state, where a list %s', async (_, cost) => {
    shown = show({ queued: 40, workers: 4, rate: 20 });
    await settle();
    let clock = performance.now();
    vi.spyOn(performance, 'now').mockImplementation(() => (clock += cost));
    const before = shown.farm.nEnded;
    for (let at = 0; at < 60; at++) {
      shown.view.receive(shown.farm.step(0.02));
      await settle(20);
      expect(ranks()).toEqual(ranks().sort((a, b) => a - b));
    }
    expect(shown.farm.nEnded).toBeGreaterThan(before + 10);
    await settle();
    expect(ranks()).toEqual(ranks().sort((a, b) => a - b));
    expect(shown.node.querySelectorAll('.taskfc-row[data-state=succeeded]').length).toBeGreaterThan(0);
  });
});

describe('filters', () => {
  test('a chip shows the tasks in its state, and a text those that have it', async () => {
    shown = show({ queued: 9000 }, farm => void farm.step(10));
    const state = (): (string | undefined)[] =>
      [...shown.node.querySelectorAll<HTMLElement>('.taskfc-row')].map(row => row.dataset.state);
    shown.find('.taskfc-chip[data-state=running]').click();
    await settle();
    expect(state()).toEqual(['running', 'running']);
    expect(shown.find('.taskfc-chip[data-state=running]').getAttribute('aria-pressed')).toBe('true');
    shown.find('.taskfc-chip[data-state=running]').click();
    const input = shown.find<HTMLInputElement>('input[type=search]');
    input.value = 'nothing has this';
    input.dispatchEvent(new Event('input'));
    await settle();
    const empty = (): string[] => [text('.taskfc-empty > span'), text('.taskfc-shown')];
    expect(empty()).toEqual(['No task matches the filter.', '0 of 9,000 tasks']);
    shown.find('.taskfc-empty > button').click();
    await settle();
    expect([...empty(), input.value, document.activeElement]).toEqual(['', '9,000 tasks', '', input]);
    input.value = 'nothing has this';
    input.dispatchEvent(new Event('input'));
    await settle();
    shown.view.open(8999);
    expect([input.value, text('.taskfc-drawer h3')]).toEqual(['', '8999 · named_2']);
    await vi.waitFor(() => expect(shown.selected()).toEqual([8999]));
  });

  test('tasks hidden by a filter are deselected', async () => {
    shown = show({ queued: 50 }, farm => void farm.step(8));
    await settle();
    shown.key('a', { ctrlKey: true });
    expect(text('.taskfc-shown')).toMatch(/^50 tasks · 50 selected$/);
    shown.find('.taskfc-chip[data-state=running]').click();
    await settle();
    expect(text('.taskfc-shown')).toBe('2 of 50 tasks · 2 selected');
    shown.find('.taskfc-chip[data-state=running]').click();
    await settle();
    expect(text('.taskfc-shown')).toBe('50 tasks · 2 selected');
    shown.view.receive(shown.farm.step(10_000));
    shown.find('.taskfc-chip[data-state=failed]').click();
    await settle();
    expect(text('.taskfc-shown')).not.toContain('selected');
    expect(shown.find('.taskfc-inside > .taskfc-actions [data-action=retry]').getAttribute('aria-disabled')).toBe('true');
  });

  test('notebooks are listed if there are several', async () => {
    shown = show({ queued: 9000 });
    await settle();
    const owners = shown.find<HTMLSelectElement>('.taskfc-owners');
    expect([...owners.options].map(option => option.textContent)).toEqual([
      'all notebooks',
      'one.ipynb',
      'two with a long name.ipynb',
      'nightly.py'
    ]);
    owners.selectedIndex = 3;
    owners.dispatchEvent(new Event('change'));
    await settle();
    expect(text('.taskfc-shown')).toBe('808 of 9,000 tasks');
  });
});

describe('actions', () => {
  const button = (action: string): HTMLElement =>
    shown.find(`.taskfc-inside > .taskfc-actions [data-action=${action}]`);
  const isOffered = (action: string): boolean => button(action).getAttribute('aria-disabled') !== 'true';
  const choose = (taskid: number): void => {
    shown.view.open(taskid);
    shown.find('[aria-label=Close]').click();
  };

  test('only applicable ones are enabled', async () => {
    shown = show({ queued: 50 }, farm => void farm.step(8));
    await settle();
    const actions = ['abort', 'retry', 'hold', 'move'];
    expect(actions.map(isOffered)).toEqual([false, false, false, false]);
    const of = (state: StateCode): number => shown.farm.tasks.findIndex(task => task.state === state);
    choose(of(StateCode.SCHEDULED));
    expect(actions.map(isOffered)).toEqual([true, false, true, true]);
    choose(of(StateCode.RUNNING));
    expect(actions.map(isOffered)).toEqual([true, false, false, false]);
    choose(of(StateCode.SUCCEEDED));
    expect(actions.map(isOffered)).toEqual([false, true, false, false]);
  });

  test('with an open drawer, several tasks have their own buttons, and one has those of the drawer', async () => {
    shown = show({ queued: 50 });
    await settle();
    const isOfMany = (): boolean => shown.find('.taskfc-queue').classList.contains('taskfc-mod-many');
    shown.view.open(3);
    expect([isOfMany(), shown.find('.taskfc-drawer [data-action=abort]').title]).toEqual([
      false,
      'Abort this task, queued or running'
    ]);
    shown.key('a', { ctrlKey: true });
    await settle();
    expect([isOfMany(), button('abort').title]).toEqual([true, 'Abort the selected tasks, queued or running']);
  });

  test('abort asks first; Escape cancels, Yes reports the result', async () => {
    shown = show();
    choose(3);
    button('abort').click();
    expect(text('.taskfc-question span')).toBe('Abort task 3?');
    expect(document.activeElement?.textContent).toBe('Yes, abort');
    document.activeElement!.dispatchEvent(new KeyboardEvent('keydown', { key: 'Escape', bubbles: true }));
    expect(shown.find('.taskfc-question').hidden).toBe(true);
    expect(document.activeElement).toBe(shown.find('.taskfc-table'));
    button('abort').click();
    shown.host.answer = { ok: false, said: 'task 3 has ended already' };
    document.activeElement!.dispatchEvent(new MouseEvent('click', { bubbles: true }));
    await settle();
    expect(shown.host.commands).toEqual([{ do: 'abort', taskids: [3] }]);
    const said = shown.find('.taskfc-said');
    expect([said.textContent, said.getAttribute('aria-live')]).toEqual(['task 3 has ended already', 'polite']);
  });

  test('commands have the identity of the farm', async () => {
    shown = show();
    shown.view.receive(farms({ identity: 'these' }));
    choose(7);
    button('hold').click();
    await settle();
    expect(shown.host.commands).toEqual([{ do: 'hold', taskids: [7], identity: 'these' }]);
    button('abort').click(); // the identity is that of the question, not of the answer
    shown.view.receive(farms({ identity: 'others' }));
    (document.activeElement as HTMLElement).click();
    await settle();
    expect(shown.host.commands[1]).toEqual({ do: 'abort', taskids: [7], identity: 'these' });
  });

  test('hold and release share one place, which keeps the focus', async () => {
    shown = show();
    choose(7);
    const shownOf = (): boolean[] => [button('hold').hidden, button('release').hidden];
    expect(shownOf()).toEqual([false, true]);
    button('hold').focus();
    shown.farm.command({ do: 'hold', taskids: [7] });
    shown.view.receive(shown.farm.step(0.1));
    await settle();
    expect([...shownOf(), document.activeElement]).toEqual([true, false, button('release')]);
  });

  test('a new priority is asked for and validated', async () => {
    shown = show();
    choose(7);
    button('move').click();
    const input = shown.find<HTMLInputElement>('.taskfc-priority');
    const set = (value: string): void => {
      input.value = value;
      shown.find('.taskfc-question form').dispatchEvent(new Event('submit', { cancelable: true }));
    };
    set('');
    set('2000000');
    expect(shown.host.commands).toEqual([]);
    set('-5');
    await settle();
    expect(shown.host.commands).toEqual([{ do: 'move', taskids: [7], priority: -5 }]);
  });

  test('clear asks first, and names the tasks that had finished by then', async () => {
    shown = show({ queued: 50, rate: 2 }, farm => void farm.step(8));
    await settle();
    const finished = (): number[] =>
      shown.farm.tasks.flatMap(({ state }, taskid) => (state >= StateCode.SUCCEEDED ? [taskid] : []));
    const taskids = finished();
    expect(taskids.length).toBeGreaterThan(0);
    button('clear').click();
    expect(text('.taskfc-question > span')).toBe(`Delete ${taskids.length} finished tasks of all notebooks, with their results and outputs?`);
    shown.view.receive(shown.farm.step(4));
    await settle();
    expect(finished().length).toBeGreaterThan(taskids.length);
    expect(shown.host.commands).toEqual([]);
    (document.activeElement as HTMLElement).click();
    await settle();
    expect(shown.host.commands).toEqual([{ do: 'clear', taskids }]);
  });

  test('clear is for all if more have finished than are listed', async () => {
    shown = show({ queued: 50 }, farm => void farm.step(8));
    const snapshot = shown.farm.snapshot();
    shown.view.receive({ ...snapshot, counts: { ...snapshot.counts, succeeded: 20_000 } });
    await settle();
    expect(text('.taskfc-shown')).toContain('older ones not listed');
    button('clear').click();
    (document.activeElement as HTMLElement).click();
    await settle();
    expect(shown.host.commands).toEqual([{ do: 'clear' }]);
  });

  test('a question is closed when another farm or another task is shown', async () => {
    shown = show({ queued: 5 });
    await settle();
    shown.key('ArrowDown');
    button('abort').click();
    expect(shown.find('.taskfc-question').hidden).toBe(false);
    shown.view.show('other');
    expect(shown.find('.taskfc-question').hidden).toBe(true);
    shown.view.show('default');
    shown.view.receive(shown.farm.snapshot());
    await settle();
    shown.view.open(1);
    shown.find('.taskfc-drawer [data-action=abort]').click();
    expect(shown.find('.taskfc-drawer .taskfc-question').hidden).toBe(false);
    shown.view.open(2);
    expect(shown.find('.taskfc-drawer .taskfc-question').hidden).toBe(true);
  });

  test('a large selection is split into commands of the permitted size', async () => {
    shown = show({ queued: 100_001 });
    await vi.waitFor(() => expect(shown.rows().length).toBeGreaterThan(0));
    shown.key('a', { ctrlKey: true });
    button('hold').click();
    await settle();
    expect(shown.host.commands.map(command => 'taskids' in command && command.taskids?.length)).toEqual([100_000, 1]);
  });
});

describe('the drawer', () => {
  test('polls once a second while the task is unfinished and the page visible, and once more at its end', async () => {
    shown = show({ queued: 4, rate: 0.1 }, farm => void farm.step(1));
    await settle(0);
    shown.view.open(0);
    await settle(3500);
    expect(shown.host.detailed).toEqual([
      [0, undefined],
      [0, '1'],
      [0, '1'],
      [0, '1']
    ]);
    Object.defineProperty(document, 'visibilityState', { value: 'hidden', configurable: true });
    await settle(5000);
    expect(shown.host.detailed).toHaveLength(4);
    Reflect.deleteProperty(document, 'visibilityState');
    shown.view.receive(shown.farm.step(10_000));
    await settle(10_000);
    expect(shown.host.detailed).toHaveLength(5);
    expect(text('.taskfc-drawer')).toContain('0.9731');
  });

  test('shows log, traceback without colours, and pictures as pictures', async () => {
    shown = show({ queued: 200, rate: 20 }, farm => void farm.step(15));
    const failed = shown.farm.tasks.findIndex(task => task.state === StateCode.FAILED);
    shown.view.open(failed);
    await settle();
    expect(text('.taskfc-drawer')).toContain('ZeroDivisionError: division by zero');
    expect(text('.taskfc-drawer')).not.toContain('\u001b');
    expect(text('.taskfc-drawer')).toContain('epoch 4: loss 0.2000');
    expect(shown.find<HTMLImageElement>('.taskfc-drawer img').src).toMatch(/^data:image\/svg\+xml,/);
    expect(shown.find('.taskfc-drawer').querySelector('svg polyline')).toBeNull();
  });

  test('shows the code and the result of a cell, which a poll does not repeat', async () => {
    shown = show({ queued: 4, rate: 1 }, farm => void farm.step(20));
    await settle();
    shown.view.open(1);
    await settle();
    const parts = [...shown.node.querySelectorAll<HTMLElement>('.taskfc-drawer .taskfc-part:not([hidden])')];
    const of = (title: string): string => parts.find(part => part.querySelector('h4')?.textContent === title)?.textContent ?? '';
    expect(of('Result')).toBe('Result0.9731');
    expect(of('Code')).toContain('model = fit(x, y)');
    expect(of('Output')).toBe('Output');
  });

  test('says how to read the result of a function', async () => {
    shown = show({ queued: 4, rate: 1 }, farm => void farm.step(20));
    await settle();
    const details = shown.farm.details(1);
    shown.host.details = async () => ({ ...details, outputs: [], version: 'final', source: '', size: 1234 });
    shown.view.open(1);
    await settle();
    expect(text('.taskfc-drawer')).toContain('1.2 kB, pickled: %task result 1 shows it');
  });

  test('has a picture of the dependencies, in which a click shows the other task', async () => {
    shown = show({ queued: 3, rate: 0.001 }, farm => {
      farm.batches[0] = { ...farm.batches[0]!, n: 1, label: 'load' };
      farm.batches.push({ first: 1, n: 1, label: 'fit', after: [0, 70] }, { first: 2, n: 1, label: 'plot', after: [1] });
    });
    await settle();
    shown.view.open(1);
    await settle();
    const boxes = (): string[] => [...shown.node.querySelectorAll('.taskfc-box')].map(box => box.textContent ?? '');
    expect(boxes()).toEqual(['0 · load', '70', '1 · fit', '2 · plot']);
    expect(shown.find('button.taskfc-box').getAttribute('aria-label')).toBe('Task 0 load, scheduled');
    shown.find<HTMLButtonElement>('[data-task="2"]').click();
    await settle();
    expect([text('.taskfc-drawer h3'), shown.selected(), boxes()]).toEqual(['2 · plot', [2], ['1 · fit', '2 · plot']]);
  });

  test('shows a problem, and closes', async () => {
    shown = show();
    shown.host.details = () => Promise.reject(new Error('The kernel is busy.'));
    shown.view.open(1);
    await settle();
    expect(text('.taskfc-problem')).toBe('The kernel is busy.');
    shown.find('.taskfc-drawer').dispatchEvent(new KeyboardEvent('keydown', { key: 'Escape' }));
    expect(shown.find('.taskfc-drawer').hidden).toBe(true);
  });
});

describe('a live farm without room on its disk', () => {
  test('tells so above its queue, until there is room again', async () => {
    const said = 'The disk of the farm\'s store is full (/d, 1.2 MB free). Make room, or clear finished tasks.';
    shown = show({ queued: 5 });
    shown.view.receive(farms({}));
    shown.view.receive({ ...shown.farm.step(1), no_room: said });
    await settle();
    expect(text('.taskfc-banner')).toBe(said);
    expect(shown.find('.taskfc-banner').hidden).toBe(false);
    expect(shown.find('.taskfc-queue').classList).not.toContain('taskfc-mod-stale');
    shown.view.receive(shown.farm.step(1));
    await settle();
    expect(shown.find('.taskfc-banner').hidden).toBe(true);
  });
});

describe('a farm that is not live', () => {
  test.each([
    [{ state: FarmState.DEAD, message: 'it died of this' }, 'it died of this'],
    [{ state: FarmState.STOPPED }, 'The farm is stopped. Start it with: taskfc start'],
    [null, 'There is no farm default. Start it with: taskfc start --name default']
  ])('%j is shown, with the time of the numbers', async (status, said) => {
    shown = show({ queued: 50, rate: 10 }, farm => void farm.step(1));
    shown.view.receive(farms({}));
    await settle();
    expect(shown.find('.taskfc-banner').hidden).toBe(true);
    shown.view.receive(farms(status));
    await settle();
    expect(text('.taskfc-banner')).toMatch(new RegExp(`^${said}As of .*\\d\\d:\\d\\d:\\d\\d\\.$`));
    expect(shown.find('.taskfc-queue').classList).toContain('taskfc-mod-stale');
    const time = text('.taskfc-row[data-state=running] .taskfc-cell-elapsed');
    await settle(30_000);
    expect(text('.taskfc-row[data-state=running] .taskfc-cell-elapsed')).toBe(time);
    shown.view.open(30);
    expect(shown.find('.taskfc-drawer [data-action=abort]').getAttribute('aria-disabled')).toBe('true');
  });

  test('a farm without messages counts as live until it stops', async () => {
    shown = show({ queued: 50, rate: 10 }, farm => void farm.step(1));
    shown.view.receive(farms({}));
    await settle(90_000);
    const time = text('.taskfc-row[data-state=running] .taskfc-cell-elapsed');
    expect(time).toMatch(/^1:\d\d min$/);
    shown.view.receive(farms({ state: FarmState.STOPPED }));
    await settle(90_000);
    expect(text('.taskfc-row[data-state=running] .taskfc-cell-elapsed')).toBe(time);
    expect(text('.taskfc-as-of')).toMatch(/:01:3\d\.$/);
  });

  test('a page of another version shows that', async () => {
    shown = show();
    shown.view.receive(farms({}, VIEW_PROTOCOL + 1));
    await settle();
    expect(text('.taskfc-banner')).toContain('reload the page');
  });

  test('a restarted farm is watched again', () => {
    shown = show();
    shown.view.receive(farms({ identity: 'one' }));
    shown.view.receive(farms({ identity: 'two' }));
    expect(shown.host.asked).toHaveLength(2);
  });
});

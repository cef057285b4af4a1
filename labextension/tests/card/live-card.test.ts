// A card of a task, by what the page knows of its farm: the saved form, or what the farm says.

import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';

import { ACT_IN_KERNEL, CHOICE_OF_KERNEL, ENDED } from '../../src/card/kernel-parts';
import type { ActInKernel, ChoiceOfKernel, KernelChoice } from '../../src/card/kernel-parts';
import { LiveCard } from '../../src/card/live-card';
import type { LinkState } from '../../src/link/farms';
import { CARD_VERSION, FarmState, StateCode } from '../../src/link/messages';
import type { TaskCard } from '../../src/link/messages';
import { RequestError } from '../../src/link/server';
import { change, Host, INFO, queue, World } from './world';

const CARD: TaskCard = {
  version: CARD_VERSION, card: 'c1', farm: 'f', taskid: 7, submitted: 100, title: 'fit', state: 'running', as_of: 1e9
}; // prettier-ignore

let world: World;
let host: Host;
let made: LiveCard[];

beforeEach(() => {
  vi.useFakeTimers({ now: 1_000_000_000_000 });
  world = new World();
  host = new Host();
  made = [];
});

afterEach(() => {
  made.forEach(card => card.dispose());
  document.body.replaceChildren();
  vi.useRealTimers();
});

function show(card: unknown = CARD, where = host): LiveCard {
  const live = new LiveCard(world.desk, where);
  made.push(live);
  live.show(card);
  return live;
}

/** Give the card the buttons of a kernel that runs; returns what they are asked for. */
function kernelButtons(choice: () => KernelChoice | null): string[] {
  const row = document.createElement('div');
  row.className = 'taskfc-buttons';
  host.parts = [document.createElement('div')];
  host.parts[0]!.append(row);
  const asked: string[] = [];
  row.addEventListener(CHOICE_OF_KERNEL, event => {
    const offered = choice();
    if (offered !== null) (event as ChoiceOfKernel).detail.answer(offered);
  });
  row.addEventListener(ACT_IN_KERNEL, event => {
    const { verb, taskid, answer } = (event as ActInKernel).detail;
    asked.push(`${verb} ${taskid}`);
    answer(Promise.resolve('By the kernel.'));
  });
  return asked;
}

async function settle(): Promise<void> {
  await vi.advanceTimersByTimeAsync(0);
}

describe('what is shown', () => {
  test('the saved form until anything is known', () => {
    world.farms = null;
    world.state = 'connecting';
    show();
    expect([host.shown, host.hidden]).toEqual(['SAVED', 'none']);
  });

  test('a task that waits says for what, once, and no longer when it runs', async () => {
    world.details = async taskid => ({ task: { ...INFO, taskid, state: 'waiting', attempts: 0, message: 'behind 2 tasks' } });
    show({ ...CARD, state: 'waiting' });
    world.tell(queue([[7, StateCode.WAITING]]));
    await settle();
    world.tell(queue([[7, StateCode.WAITING]]));
    expect(host.shown).toBe('◌ task 7 fit · waiting · behind 2 tasks | Abort');
    world.tell(queue([[7, StateCode.WAITING, { message: 'waits for 2 GPUs (1 free)' }]]));
    expect(host.shown).toBe('◌ task 7 fit · waiting · waits for 2 GPUs (1 free) | Abort');
    world.tell(queue([[7, StateCode.RUNNING]]));
    expect(host.shown).toContain('running · 10 s');
    expect(host.shown).not.toContain('behind');
  });

  test('a task that has not ended, with the word that the disk is full', async () => {
    show();
    world.tell({ ...queue([[7, StateCode.RUNNING]]), no_room: 'The disk is full. Make room.' });
    await settle();
    expect(host.shown).toContain('The disk is full. Make room.');
    world.tell(queue([[7, StateCode.RUNNING]]));
    expect(host.shown).not.toContain('disk');
  });

  test('a task that runs, with its output, and a button', async () => {
    show();
    world.tell(queue([[7, StateCode.RUNNING, { progress: { done: 1, total: 4, description: 'epochs' } }]]));
    await settle();
    expect(host.shown).toBe('▶ task 7 fit · running · 10 s25 % (1 of 4) epochs · about 30.0 s leftsaid | Abort');
    expect(host.hidden).toBe('all');
  });

  test('a task that has ended since, with its traceback, without one more second', async () => {
    show();
    world.tell(queue([[7, StateCode.RUNNING]]));
    await settle();
    const task = { ...INFO, state: 'failed', reason: 'error' };
    world.details = async () => ({ task, log: 'said\n', traceback: 'Traceback (most recent call last):\nValueError: no' });
    world.tell(queue([[7, StateCode.FAILED]]));
    await settle();
    expect(host.shown).toContain('✘ task 7 fit · failed · 8.00 s');
    expect(host.shown).toContain('ValueError: no');
    await vi.advanceTimersByTimeAsync(10_000);
    expect(world.asked).toEqual([7, 7]); // and not again
  });

  test('a final form as it was saved, and nothing is asked for it', async () => {
    show({ ...CARD, state: 'failed' });
    world.tell(queue([[7, StateCode.FAILED]]));
    await vi.advanceTimersByTimeAsync(5000);
    expect([host.shown, host.hidden, world.asked]).toEqual(['SAVED | Retry', 'buttons', []]);
  });

  test('a task of the same id in a fresh store is not drawn', async () => {
    show();
    world.tell(queue([[7, StateCode.FAILED, { submitted: 500 }], [8, StateCode.RUNNING, { retry_of: [7] }]]));
    await settle();
    expect(host.shown).toBe('SAVED | Task 7 is cleared from the store.');
    expect(world.asked).toEqual([]);
  });

  test('a cleared task is as it was last', async () => {
    show();
    world.tell(queue([[7, StateCode.SUCCEEDED]], { succeeded: 1 }));
    await settle();
    world.tell(queue([], {}));
    expect(host.shown).toBe('✔ task 7 fit · succeeded · 8.00 s · cleared from the storesaid');
  });

  test('a task whose end the kernel saved, and that is cleared then', async () => {
    const card = show();
    world.tell(queue([[7, StateCode.RUNNING]], { running: 1 }));
    await settle();
    world.tell(queue([[7, StateCode.SUCCEEDED]], { succeeded: 1 }));
    card.show({ ...CARD, state: 'succeeded' });
    expect(host.shown).toBe('SAVED');
    world.tell(queue([], {}));
    expect(host.shown).toBe('SAVED | Task 7 is cleared from the store.');
  });

  test('an old task that the queue does not list any more is asked for, once', async () => {
    world.details = async () => ({ task: { ...INFO, state: 'succeeded', elapsed: 2 }, log: 'done' });
    show();
    world.tell(queue([[9, StateCode.RUNNING]], { running: 1, succeeded: 20_000 }));
    await vi.advanceTimersByTimeAsync(5000);
    expect(host.shown).toBe('✔ task 7 fit · succeeded · 2.00 sdone');
    expect(world.asked).toEqual([7]);
  });

  test('such a task that was cleared', async () => {
    world.details = () => Promise.reject(new RequestError('There is no task 7.', 404));
    show();
    world.tell(queue([[9, StateCode.RUNNING]], { running: 1, succeeded: 20_000 }));
    await settle();
    expect(host.shown).toBe('SAVED | Task 7 is cleared from the store.');
  });

  test.each([20_000, 0])('a task that expired says why, where %i others are in the store', async succeeded => {
    world.details = () => Promise.reject(new RequestError('Task 7 expired after 7 days.', 410));
    show();
    world.tell(queue([], { succeeded }));
    await vi.advanceTimersByTimeAsync(5000);
    expect(host.shown).toBe('SAVED | Task 7 expired after 7 days.');
    expect(world.asked).toEqual([7]);
  });

  test('a task that expires while it is shown says why, once it is known', async () => {
    show();
    world.tell(queue([[7, StateCode.SUCCEEDED]], { succeeded: 1 }));
    await settle();
    world.details = () => Promise.reject(new RequestError('Task 7 expired when the store had 10 GB.', 410));
    world.tell(queue([], {}));
    await vi.advanceTimersByTimeAsync(5000);
    expect(host.shown).toBe('✔ task 7 fit · succeeded · 8.00 s · expired when the store had 10 GBsaid');
    expect(world.asked).toEqual([7, 7]);
  });

  test('no text becomes HTML', async () => {
    world.details = async () => ({
      task: { ...INFO, state: 'failed' }, log: '<img src=x>\u202e', traceback: '<b>Traceback</b>', note: '<i>',
      outputs: [{ output_type: 'display_data', data: { 'text/plain': '<u>' } }]
    }); // prettier-ignore
    show({ ...CARD, title: '<script>' });
    world.tell(queue([[7, StateCode.FAILED, { name: '<script>\u202e', reason: '<s>' }]]));
    await settle();
    expect(host.place.querySelectorAll('script, img, b, i, u, s')).toHaveLength(0);
    expect(host.shown).not.toContain('\u202e');
    expect(host.shown).toContain('<img src=x>');
  });
});

describe('a farm that stops', () => {
  test('before anything was seen of it: the saved texts, with the state as it was', () => {
    world.become(FarmState.STOPPED);
    show();
    expect(host.shown).toMatch(/^◌ task 7 fit · waiting \(farm stopped\) · was running as of .*saved text \| It goes on with %task start --name f$/);
  });

  test('while it is shown: the task waits, and goes on when the farm does', async () => {
    show();
    world.tell(queue([[7, StateCode.RUNNING]]));
    await settle();
    world.become(FarmState.STOPPED);
    expect(host.shown).toBe('◌ task 7 fit · waiting (farm stopped) · was runningsaid | It goes on with %task start --name f');
    world.become(FarmState.LIVE);
    world.tell(queue([[7, StateCode.SCHEDULED]]));
    expect(host.shown).toBe('○ task 7 fit · scheduled said | Abort');
  });

  test('a finished task stays as it is', async () => {
    show();
    world.tell(queue([[7, StateCode.SUCCEEDED]], { succeeded: 1 }));
    await settle();
    world.become(FarmState.STOPPED);
    expect(host.shown).toBe('✔ task 7 fit · succeeded · 8.00 ssaid');
  });

  test('a server that does not answer leaves the card, and says so', async () => {
    show();
    world.tell(queue([[7, StateCode.RUNNING]]));
    await settle();
    world.state = 'lost';
    world.farms = [{ name: 'f', state: FarmState.CONNECTING, message: 'No answer.' }];
    world.tell();
    expect(host.shown).toMatch(/running · 10 s · No answer\.said$/);
  });
});

describe('a page that cannot follow the farm', () => {
  function addKernelButtons(): HTMLElement {
    const part = document.createElement('div');
    part.innerHTML = '<div class="taskfc-buttons"></div>';
    host.parts = [part];
    return part;
  }

  test.each<LinkState>(['absent', 'refused', 'foreign'])('%s: the saved form, stale if its kernel has ended', async state => {
    world.state = state;
    show();
    expect([host.shown, host.hidden]).toEqual(['SAVED', 'none']);
    await vi.advanceTimersByTimeAsync(6000);
    expect(host.shown).toMatch(/^SAVED \| This card is of .*Type %load_ext taskfc_ext, then %task show 7$/);
  });

  test('a kernel that runs keeps its card true', async () => {
    world.state = 'absent';
    const part = addKernelButtons();
    show();
    await vi.advanceTimersByTimeAsync(6000);
    expect(host.shown).toBe('SAVED');
    part.firstElementChild!.classList.add(ENDED);
    await vi.advanceTimersByTimeAsync(1000);
    expect(host.shown).toContain('%task show 7');
  });

  test('a final form is not stale', async () => {
    world.state = 'absent';
    show({ ...CARD, state: 'succeeded' });
    await vi.advanceTimersByTimeAsync(6000);
    expect(host.shown).toBe('SAVED');
  });

  test('a farm that does not exist here is not watched: a notebook may name anything', () => {
    show({ ...CARD, farm: '../../etc' });
    world.tell();
    expect([host.shown, world.watched]).toEqual(['SAVED', []]);
  });

  test.each([null, 'text', { ...CARD, version: 99 }, { ...CARD, taskid: '7' }])('not a card: %j', async data => {
    show(data);
    world.tell(queue([[7, StateCode.RUNNING]]));
    expect([host.shown, host.hidden]).toEqual(['SAVED', 'none']);
  });
});

describe('buttons', () => {
  test('an abort asks first, and goes to these processes of the farm', async () => {
    show();
    world.tell(queue([[7, StateCode.RUNNING]]));
    host.button('Abort')!.click();
    host.button('Yes, abort')!.click();
    await settle();
    expect(world.commands).toEqual([{ do: 'abort', taskids: [7], identity: 'one' }]);
    expect(host.shown).toContain('Done.');
  });

  test('the focus survives updates and the change of the buttons', () => {
    show();
    world.tell(queue([[7, StateCode.RUNNING]]));
    const abort = host.button('Abort')!;
    abort.focus();
    world.tell(queue([[7, StateCode.RUNNING]]));
    expect(document.activeElement).toBe(abort);
    world.tell(queue([[7, StateCode.FAILED]]));
    expect(document.activeElement).toBe(host.button('Retry'));
  });

  test('the card follows the retry, and its retry', async () => {
    show({ ...CARD, state: 'failed' });
    world.tell(queue([[7, StateCode.FAILED], [8, StateCode.FAILED, { retry_of: [7] }], [9, StateCode.RUNNING, { retry_of: [8] }]]));
    await settle();
    expect(host.shown).toBe('▶ task 9 fit · running · 10 s · retry of 8said | Abort');
    expect(world.asked).toEqual([9]);
  });

  test('a kernel that runs has the retry: it sends the modules as they are now', async () => {
    const asked = kernelButtons(() => null);
    show({ ...CARD, state: 'failed' });
    world.tell(queue([[7, StateCode.FAILED]]));
    host.button('Retry')!.click();
    host.button('Yes, retry')!.click();
    await settle();
    expect([asked, world.commands]).toEqual([['retry 7'], []]);
    expect(host.shown).toContain('By the kernel.');
  });

  test('what the kernel offers takes the place of the usual buttons, acts at once, and tells what it did', async () => {
    let taskid = 7;
    const labels = { replace: 'Replace', beside: 'Run both' };
    const asked = kernelButtons(() => ({ taskid, verbs: Object.keys(labels), labels }));
    const card = show();
    world.tell(queue([[7, StateCode.RUNNING]]));
    await settle();
    expect(host.shown).toBe('▶ task 7 fit · running · 10 ssaid | ReplaceRun both');
    host.button('Replace')!.click();
    await settle(); // the answer is here before the new task
    taskid = 8;
    card.show({ ...CARD, taskid: 8 });
    world.tell(queue([[8, StateCode.RUNNING]]));
    await settle();
    expect([asked, world.commands]).toEqual([['replace 7'], []]);
    expect(host.shown).toContain('By the kernel.');
    host.parts[0]!.firstElementChild!.classList.add(ENDED);
    world.tell(queue([[8, StateCode.RUNNING]]));
    expect(host.button('Abort')).toBeDefined();
  });

  test('a task whose result was taken has the button to run it again, which asks first', async () => {
    const asked = kernelButtons(() => ({ taskid: 7, verbs: ['retry'], labels: { retry: 'Run again' } }));
    show({ ...CARD, state: 'succeeded' });
    world.tell(queue([[7, StateCode.SUCCEEDED]]));
    host.button('Run again')!.click();
    expect(host.shown).toContain('Run again: task 7?');
    host.button('Yes, run again')!.click();
    await settle();
    expect(asked).toEqual(['retry 7']);
  });
});

describe('many cards', () => {
  test('fifty share one subscription, and few requests at once', async () => {
    const answers: (() => void)[] = [];
    world.details = taskid => new Promise(resolve => answers.push(() => resolve({ task: { ...INFO, taskid } })));
    const hosts = Array.from({ length: 50 }, () => new Host());
    hosts.forEach((each, taskid) => show({ ...CARD, taskid }, each));
    expect(world.watched).toEqual(['watch f']);
    world.tell(queue(hosts.map((_, id) => [id, StateCode.RUNNING])));
    expect(hosts.map(each => each.shown.includes('running · 10 s'))).toEqual(hosts.map(() => true));
    expect(answers.length).toBeLessThan(5);
    for (let n = 0; n < answers.length; n++) {
      answers[n]!();
      await settle();
    }
    expect(answers).toHaveLength(50);
    made.forEach(card => card.dispose());
    world.tell(queue([[1, StateCode.RUNNING]]));
  });

  test('a card out of view is drawn with the ticks, not with each change', () => {
    host.inView = false;
    show();
    world.tell(queue([[7, StateCode.SCHEDULED]]));
    expect(host.shown).toContain('scheduled');
    world.send(change(2, [[7, StateCode.RUNNING]]));
    expect(host.shown).toContain('scheduled');
    vi.advanceTimersByTime(1000);
    expect(host.shown).toContain('running');
    host.inView = true;
    world.send(change(3, [[7, StateCode.SUCCEEDED]]));
    expect(host.shown).toContain('succeeded');
  });

  test('a card that is gone follows nothing any more', () => {
    const card = show();
    card.dispose();
    card.update();
    world.send(queue([[7, StateCode.RUNNING]]));
    expect([host.shown, world.nReceivers]).toEqual(['SAVED', 0]);
  });

  test('a card out of view asks for nothing, and is true when it comes into view', async () => {
    host.inView = false;
    const card = show();
    world.tell(queue([[7, StateCode.RUNNING]]));
    await vi.advanceTimersByTimeAsync(3000);
    expect(world.asked).toEqual([]);
    host.inView = true;
    card.update();
    await settle();
    expect(host.shown).toContain('said');
  });
});

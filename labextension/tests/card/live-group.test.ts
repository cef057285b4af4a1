// The card of a group of tasks, as its farm and its kernel bring news.

import { afterEach, beforeEach, expect, test, vi } from 'vitest';

import { LiveGroup } from '../../src/card/live-group';
import { CARD_VERSION, StateCode } from '../../src/link/messages';
import type { GroupOfTasks, QueueSnapshot } from '../../src/link/messages';
import { change, Host, queue, World } from './world';

const GROUP: GroupOfTasks = {
  version: CARD_VERSION, card: 'g1', farm: 'f', ranges: [[7, 8]], submitted: 100, title: 'map fit', state: 'running',
  as_of: 1e9
}; // prettier-ignore

const ENDED: QueueSnapshot = queue([[7, StateCode.SUCCEEDED], [8, StateCode.FAILED, { message: 'no fit' }]]);

let world: World;
let host: Host;
let card: LiveGroup;

beforeEach(() => {
  vi.useFakeTimers({ now: 1_000_000_000_000 });
  world = new World();
  host = new Host();
  card = new LiveGroup(world.desk, host);
  card.show(GROUP);
});

afterEach(() => {
  card.dispose();
  document.body.replaceChildren();
  vi.useRealTimers();
});

test('an open question stays when the kernel sends its last form meanwhile', async () => {
  world.tell(ENDED);
  expect(host.shown).toContain('failed · 2 tasks');
  host.button('Retry failed')!.click();
  card.show({ ...GROUP, state: 'failed' });
  expect([host.shown, host.hidden]).toEqual(['SAVED | Retry failed of map fit?Yes, retry failedNo', 'buttons']);
  host.button('Yes, retry failed')!.click();
  await vi.advanceTimersByTimeAsync(0);
  expect(world.commands).toEqual([{ do: 'retry', taskids: [8], identity: 'one' }]);
});

test('a group that has ended is counted again for a retry, and for no other news', async () => {
  const follower = world.desk.queues.follow('f', () => undefined);
  world.tell(ENDED);
  await vi.advanceTimersByTimeAsync(1000);
  const looked = vi.spyOn(follower.store.queue, 'placeOf');
  const counted = (): boolean => looked.mock.calls.some(([id]) => id === 7);
  world.send({ ...change(2, []), counts: { running: 3 } });
  await vi.advanceTimersByTimeAsync(1000);
  expect(counted()).toBe(false);
  const { batches } = queue([[9, StateCode.RUNNING, { retry_of: [8] }]]);
  world.send({ ...change(3, [[9, StateCode.RUNNING]]), batches });
  await vi.advanceTimersByTimeAsync(1000);
  expect(counted()).toBe(true);
  expect(host.shown).toContain('running');
});

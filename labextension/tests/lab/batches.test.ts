// Batches: their detection by counts, and their notifications.

import { describe, expect, test } from 'vitest';

import { addBatches, Batches, batchText, firstOfLast, isNotable, nameTask } from '../../src/lab/batches';
import type { Counts, FarmStatus, TaskInfo } from '../../src/link/messages';

const farm = (counts?: Counts, state: FarmStatus['state'] = 'live', name = 'default'): FarmStatus => ({ name, state, counts });

/** Apply these one after the other, a second each; return the batches that finished with the last. */
function afterAll(...states: FarmStatus[]): ReturnType<Batches['apply']> {
  const batches = new Batches();
  return states.map((state, second) => batches.apply([state], second)).pop() ?? [];
}

describe('a batch', () => {
  test('has the ends between a busy and an empty queue', () => {
    const finished = afterAll(
      farm({ succeeded: 5, failed: 1 }),
      farm({ succeeded: 5, failed: 1, running: 2, scheduled: 1 }),
      farm({ succeeded: 6, failed: 1, running: 1 }),
      farm({ succeeded: 7, failed: 2 })
    );
    expect(finished).toEqual([{ farm: 'default', succeeded: 2, failed: 1, aborted: 0, seconds: 2 }]);
  });

  test('is reported once', () => {
    const batches = new Batches();
    batches.apply([farm({ running: 1 })], 0);
    expect(batches.apply([farm({ succeeded: 1 })], 1)).toHaveLength(1);
    expect(batches.apply([farm({ succeeded: 1 })], 2)).toEqual([]);
  });

  test('before the page was loaded is not reported', () => {
    expect(afterAll(farm({ succeeded: 9, failed: 3 }))).toEqual([]);
  });

  test('between two lists of farms is reported', () => {
    expect(afterAll(farm({}), farm({ failed: 1 }))).toMatchObject([{ failed: 1, seconds: 0 }]);
  });

  test('of a new farm is reported, also if it has ended', () => {
    const batches = new Batches();
    batches.apply([], 0);
    expect(batches.apply([farm({ failed: 1 })], 1)).toMatchObject([{ failed: 1 }]);
    expect(batches.apply([farm({ failed: 1 }), farm(undefined, 'connecting', 'new')], 2)).toEqual([]);
    expect(batches.apply([farm({ failed: 1 }), farm({ succeeded: 3 }, 'live', 'new')], 3)).toMatchObject([{ succeeded: 3 }]);
  });

  test('continues while its controller does not answer', () => {
    expect(afterAll(farm({ running: 2 }), farm({}, 'connecting'))).toEqual([]);
    expect(afterAll(farm({ running: 2 }), farm(undefined, 'dead'), farm({ succeeded: 2 }))).toHaveLength(1);
  });

  test('of cleared tasks only is not reported', () => {
    expect(afterAll(farm({ succeeded: 5 }), farm({}))).toEqual([]);
  });

  test('belongs to one farm', () => {
    const batches = new Batches();
    batches.apply([farm({ running: 1 }, 'live', 'a'), farm({ running: 1 }, 'live', 'b')], 0);
    const finished = batches.apply([farm({ running: 1 }, 'live', 'a'), farm({ aborted: 1 }, 'live', 'b')], 1);
    expect(finished.map(batch => batch.farm)).toEqual(['b']);
  });
});

describe('its notification', () => {
  const batch = { farm: 'night', succeeded: 0, failed: 0, aborted: 0, seconds: 65 };

  const fit = { taskid: 3, name: 'fit', why: "KeyError: 'b'" };

  test.each([
    [{ succeeded: 12 }, null, '12 tasks succeeded, in 1:05 min'],
    [{ succeeded: 1 }, { ...fit, why: '' }, 'fit succeeded, in 1:05 min'],
    [{ failed: 1 }, fit, "fit failed: KeyError: 'b'"],
    [{ failed: 1 }, null, '1 task failed, in 1:05 min'],
    [{ failed: 2 }, fit, "2 tasks failed, first: fit: KeyError: 'b'"],
    [{ succeeded: 488, failed: 12 }, fit, "12 of 500 tasks failed, first: fit: KeyError: 'b'"],
    [{ succeeded: 488, failed: 12 }, null, '12 of 500 tasks failed, in 1:05 min'],
    [{ aborted: 2, seconds: 0.5 }, null, '2 tasks aborted'],
    [{ succeeded: 1000, aborted: 1 }, null, '1,001 tasks ended: 1,000 succeeded, 1 aborted, in 1:05 min']
  ])('%j, %j: %s', (ended, named, text) => {
    expect(batchText({ ...batch, ...ended }, named, true)).toBe(text);
  });

  test('names the farm if there are others', () => {
    expect(batchText({ ...batch, failed: 1 }, fit, false)).toBe("fit of night failed: KeyError: 'b'");
  });

  test('has earlier failures that were not seen', () => {
    const both = addBatches({ ...batch, failed: 1 }, { ...batch, failed: 1, succeeded: 3 });
    expect(both).toEqual({ farm: 'night', succeeded: 3, failed: 2, aborted: 0, seconds: 130 });
  });

  const info = (taskid: number, completed: number | null, more = {}): TaskInfo =>
    ({ taskid, name: null, label: 'f(x)', state: 'failed', reason: 'error', message: "'b'", completed, ...more }) as TaskInfo;

  test('is about the first of the tasks that ended last, whatever their ids', () => {
    const tasks = [info(1, 50), info(2, 9), info(7, 40), info(8, 41)];
    expect(firstOfLast(tasks, 3)?.taskid).toBe(7);
    expect(firstOfLast(tasks, 9)?.taskid).toBe(2);
    expect(firstOfLast([], 1)).toBeUndefined();
  });

  test.each([
    [info(1, 2), 'KeyError', 'f(x)', "KeyError: 'b'"],
    [info(1, 2, { name: 'fit', message: "KeyError: 'b'" }), 'KeyError', 'fit', "KeyError: 'b'"],
    [info(1, 2, { message: '' }), 'my.mod.Broken', 'f(x)', 'Broken'],
    [info(1, 2, { message: '', reason: 'lost' }), '', 'f(x)', 'lost'],
    [info(1, 2, { message: 'a\n\x1b[31mb' }), 'ValueError', 'f(x)', 'ValueError: a b'],
    [info(1, 2, { state: 'succeeded', message: '' }), '', 'f(x)', '']
  ])('names its task and the reason: %#', (task, exception, name, why) => {
    expect(nameTask({ task, exception })).toEqual({ taskid: 1, name, why });
  });

  test('is shown if it took long or failed', () => {
    expect(isNotable({ ...batch, succeeded: 1, seconds: 4 }, 5)).toBe(false);
    expect(isNotable({ ...batch, succeeded: 1, seconds: 6 }, 5)).toBe(true);
    expect(isNotable({ ...batch, failed: 1, seconds: 0 }, 5)).toBe(true);
    expect(isNotable({ ...batch, aborted: 9 }, 5)).toBe(false);
  });
});

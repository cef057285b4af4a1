// Counts of the status bar.

import { describe, expect, test } from 'vitest';

import { lowerSeen, markSeen, statusText, sumCounts } from '../../src/lab/counts';
import type { Counts, FarmStatus } from '../../src/link/messages';

const farm = (name: string, counts?: Counts, state: FarmStatus['state'] = 'live'): FarmStatus => ({ name, state, counts });

describe('the status bar', () => {
  test.each([
    [{ running: 3, queued: 12, failed: 0 }, '3 running · 12 queued'],
    [{ running: 0, queued: 12_345, failed: 0 }, '12,345 queued'],
    [{ running: 0, queued: 0, failed: 2 }, '2 failed'],
    [{ running: 0, queued: 0, failed: 0 }, ''],
    [{ running: 1, queued: 0, failed: 0, isFull: true }, '1 running · disk full']
  ])('shows for %j: %s', (totals, text) => {
    expect(statusText(totals)).toBe(text);
  });

  test('counts all live farms', () => {
    const farms = [farm('a', { running: 1, waiting: 2 }), farm('b', { running: 4, scheduled: 3, failed: 9 })];
    expect(sumCounts([...farms, farm('c', { running: 7 }, 'dead'), farm('d')], { b: 7 })).toEqual({
      running: 5,
      queued: 5,
      failed: 2
    });
  });

  test('tells of a full disk while the farm is live', () => {
    const full = { ...farm('a', {}), no_room: 'The disk is full.' };
    expect(sumCounts([full, farm('b')], {}).isFull).toBe(true);
    expect(sumCounts([{ ...full, state: 'dead' }, farm('b')], {}).isFull).toBeUndefined();
  });

  test('resets failures when the user looks', () => {
    const seen = markSeen([farm('a', { failed: 3 }), farm('b')], { b: 1, gone: 5 });
    expect(seen).toEqual({ a: 3, b: 1 });
    expect(sumCounts([farm('a', { failed: 4 })], seen).failed).toBe(1);
  });

  test('counts failures after a clear, also while fewer than before', () => {
    const cleared = lowerSeen([farm('a', {})], { a: 3 });
    expect(sumCounts([farm('a', { failed: 1 })], cleared).failed).toBe(1);
  });
});

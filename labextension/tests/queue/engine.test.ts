// The engine of a farm in words: the same as in Python (tests/view/test_wording.py).

import { expect, test } from 'vitest';
import type { EngineInfo } from '../../src/link/messages';
import { engineText } from '../../src/queue/engine';

const NOON = new Date(2026, 10, 29, 12, 1).getTime() / 1000;
const DAY = 86_400;

const ENGINE: EngineInfo = {
  kind: 'dask',
  url: 'tcp://head:8786',
  state: 'connected',
  since: NOON,
  text: '',
  n_places: 3,
  limit: 40
};

test.each<[Partial<EngineInfo>, number, number, string]>([
  [{}, 12, NOON, '12 of at most 40 workers on 3 hosts'],
  [{ limit: 1, n_places: 1 }, 1, NOON, '1 of at most 1 worker on 1 host'],
  [{ n_places: 0 }, 0, NOON, '0 of at most 40 workers'],
  [{ limit: 10_000 }, 1234, NOON, '1,234 workers on 3 hosts'],
  [{ state: 'connecting' }, 0, NOON, 'connecting'],
  [{ state: 'connecting', text: 'no answer' }, 0, NOON, 'connecting (no answer)'],
  [{ state: 'lost', text: 'connection\nrefused' }, 0, NOON, 'not reachable since 12:01 (connection refused), trying'],
  [{ state: 'lost' }, 0, NOON + DAY, 'not reachable since 2026-11-29 12:01, trying']
])('%j with %d workers', (facts, there, now, text) => {
  expect(engineText({ ...ENGINE, ...facts }, there, now)).toBe(`Dask tcp://head:8786 · ${text}`);
});

test('an engine without an address has its name alone', () => {
  expect(engineText({ ...ENGINE, kind: 'ray', url: 'ray' }, 2, NOON)).toBe('Ray · 2 of at most 40 workers on 3 hosts');
});

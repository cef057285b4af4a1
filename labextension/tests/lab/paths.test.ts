// Paths of notebooks, and marks of cards.

import { describe, expect, test } from 'vitest';

import { isCardOf, notebookPaths } from '../../src/lab/paths';

describe('the notebook of a task', () => {
  test.each([
    ['/home/u/work/a/b.ipynb', '/home/u/work', ['a/b.ipynb']],
    ['/home/u/work/b.ipynb', '/home/u/work/', ['b.ipynb']],
    ['/b.ipynb', '/', ['b.ipynb']],
    ['/home/u/work2/b.ipynb', '/home/u/work', []],
    ['/home/u/work/b.ipynb', '~/work', ['b.ipynb']],
    ['/home/u/work/x/work/b.ipynb', '~/work', ['x/work/b.ipynb', 'b.ipynb']],
    ['/home/u/b.ipynb', '~', ['u/b.ipynb', 'b.ipynb']],
    ['/home/u/work/script.py', '/home/u/work', []],
    ['session-12-ab34', '/home/u/work', []]
  ])('of %s below %s', (owner, root, paths) => {
    expect(notebookPaths(owner, root)).toEqual(paths);
  });
});

test('a card is found by its farm and its task', () => {
  const html = '<style></style><div class="taskfc-card x" role="group" data-farm="night" data-task="3">task 3</div>';
  expect(isCardOf(html, 'night', 3)).toBe(true);
  expect(isCardOf(html, 'night', 33)).toBe(false);
  expect(isCardOf(html, 'default', 3)).toBe(false);
  expect(isCardOf('<div class="taskfc-card">data-farm="night" data-task="3"</div>', 'night', 3)).toBe(false);
});

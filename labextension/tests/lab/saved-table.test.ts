// Outputs of widgets that are missing, and saved tables.

import { describe, expect, test, vi } from 'vitest';

import { hasTable, isLost } from '../../src/lab/saved-table';

// the tests need no JupyterLab, only the two functions
vi.mock('@jupyterlab/notebook', () => ({ INotebookTracker: {} }));
vi.mock('@lumino/widgets', () => ({ Panel: class {} }));

function nodeOf(html: string): Element {
  const node = document.createElement('div');
  node.innerHTML = html;
  return node;
}

describe('the output of a widget', () => {
  test.each([
    ['Error displaying widget: model not found', true],
    ['Error displaying widget', true],
    ['Loading widget...', false],
    ['<p>Error displaying widget: is the content of this one</p>', false],
    ['', false]
  ])('%j, is the widget missing: %j', (html, expected) => {
    expect(isLost(nodeOf(html))).toBe(expected);
  });

  test.each([
    [{ 'text/html': '<div class="taskfc-plain x"><table></table></div>' }, true],
    [{ 'text/html': ['<div class="taskfc-plain x">', '</div>'] }, true],
    [{ 'text/html': '<p>of another widget</p>' }, false],
    [{ 'text/html': '' }, false],
    [{ 'text/plain': 'taskfc-plain' }, false],
    [undefined, false]
  ])('%j, has it a saved table: %j', (data, expected) => {
    expect(hasTable(data)).toBe(expected);
  });
});

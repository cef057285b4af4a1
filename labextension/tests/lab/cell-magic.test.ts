// The magic on top of a cell.

import { expect, test } from 'vitest';

import { addMagic, isMagicLine } from '../../src/lab/cell-magic';

test.each([
  ['1 / 0', '%%task\n1 / 0'],
  ['%%task fit --retries 2\n1 / 0', '%%task fit --retries 2\n1 / 0'],
  ['\n  %%task\n1 / 0', '\n  %%task\n1 / 0'],
  ['%%time\n1 / 0', '%%task\n%%time\n1 / 0'],
  ['%%tasks\n1', '%%task\n%%tasks\n1'],
  ['# %%task', '%%task\n# %%task']
])('%j is submitted as %j', (source, submitted) => {
  expect(addMagic(source)).toBe(submitted);
  expect(addMagic(submitted)).toBe(submitted);
});

test.each([
  ['%%task fit --re', true],
  ['\n%%task |', true],
  ['%%task a \\\n  --re|\nx = 1', true],
  ['x = 1\nt = %task res', true],
  ['  %task', true],
  ['%%task fit\nx', false],
  ['x = 1\n%%task ', false],
  ['%tasks x', false],
  ['a % task', false]
])('%j is a line of a magic: %j', (text, expected) => {
  const [before = ''] = text.split('|');
  expect(isMagicLine(text.replace('|', '').split('\n'), before.split('\n').length - 1)).toBe(expected);
});

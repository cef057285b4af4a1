// The magic on top of a cell.

import { expect, test } from 'vitest';

import { addMagic } from '../../src/lab/cell-magic';

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

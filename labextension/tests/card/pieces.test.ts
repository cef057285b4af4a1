// The pure parts of cards: outputs by their place, and tracebacks in colours.

import { describe, expect, test } from 'vitest';

import { outputsBeneath, textsOnCard } from '../../src/card/outputs';
import { tracebackPieces } from '../../src/card/traceback';
import { CardView } from '../../src/card/view';
import { Requests } from '../../src/link/requests';

const text = (plain: string | string[]): unknown => ({ output_type: 'display_data', data: { 'text/plain': plain } });
const picture = { output_type: 'display_data', data: { 'image/png': 'AAAA', 'text/plain': '<Figure>' } };

describe('outputs', () => {
  test('texts are on the card until there is anything else', () => {
    const outputs = [text('a'), text(['b', 'c']), picture, text('d')];
    expect(textsOnCard(outputs)).toEqual(['a', 'bc']);
    expect(outputsBeneath(outputs)).toEqual([picture, text('d')]);
  });

  test('a long text is beneath the card, and what has no contents nowhere', () => {
    const long = text('x'.repeat(20_001));
    expect([textsOnCard([long]), outputsBeneath([long])]).toEqual([[], [long]]);
    const empty = { output_type: 'execute_result', data: {} };
    expect([textsOnCard([empty, null, 7]), outputsBeneath([empty, null, 7])]).toEqual([[], []]);
  });
});

test('a traceback has the colours of its files, lines and exception, and the text of it', () => {
  const raised = 'Traceback (most recent call last):\n  File "a.py", line 3, in f\n    1 / 0\n    ~~^~~\nZeroDivisionError: no';
  const pieces = tracebackPieces(raised);
  const coloured = pieces.filter(piece => typeof piece !== 'string').map(piece => piece.textContent);
  expect(coloured).toEqual(['"a.py"', '3', '    ~~^~~', 'ZeroDivisionError']);
  expect(pieces.map(piece => (typeof piece === 'string' ? piece : piece.textContent)).join('')).toBe(raised);
});

test('requests run a few at a time, and one that has no answer yet is not sent again', async () => {
  const requests = new Requests(2);
  const ends: ((answer: string) => void)[] = [];
  const run = (): Promise<string> => new Promise(resolve => ends.push(resolve));
  const [a, again, b, c] = ['a', 'a', 'b', 'c'].map(key => requests.ask(key, run));
  expect(ends).toHaveLength(2);
  ends[0]!('one');
  expect([await a, await again]).toEqual(['one', 'one']);
  expect(ends).toHaveLength(3);
  ends[2]!('three');
  expect(await c).toBe('three');
  const failed = requests.ask('d', () => Promise.reject(new Error('no')));
  await expect(failed).rejects.toThrow('no');
  ends[1]!('two');
  expect(await b).toBe('two');
});

test('a log that has not changed is not drawn again', () => {
  const view = new CardView();
  view.showPrinted('one\n', 0);
  const block = [...view.element.querySelectorAll('pre')].find(pre => pre.textContent === 'one')!;
  block.textContent = 'as it is drawn';
  view.showPrinted('one\n', 0);
  expect(block.textContent).toBe('as it is drawn');
  view.showPrinted('one\n', 5);
  expect(block.textContent).toBe('one');
});

// A traceback in the colours of the theme, line by line, as `traceback_html.py` writes it. Pure but for its elements.

import { make } from '../queue/dom';
import { ERROR, NUMBER, PATH } from './look';

const PLACE = /^( +File )("[^"]{0,1000}")(, line )([0-9]{1,9})(.*)$/;
const TYPE = /^[A-Za-z_][\w.]{0,200}(?=:|$)/;
const MARKS = /^[ ~^\t]+$/;

/** Return the pieces of a text, which is safe to show; a text that is no traceback is in the colour of errors. */
export function tracebackPieces(text: string): (HTMLElement | string)[] {
  if (!text.startsWith('Traceback ') && !text.includes('\nTraceback ')) return [coloured(text, ERROR)];
  return text.split('\n').flatMap((line, at) => (at === 0 ? piecesOf(line) : ['\n', ...piecesOf(line)]));
}

function piecesOf(line: string): (HTMLElement | string)[] {
  if (line.startsWith(' ')) {
    if (MARKS.test(line)) return [coloured(line, ERROR)];
    const [, before, file, between, number, after] = PLACE.exec(line) ?? [];
    if (before === undefined) return [line];
    return [before, coloured(file!, PATH), between!, coloured(number!, NUMBER), after!];
  }
  const [type] = TYPE.exec(line) ?? [];
  return type === undefined ? [line] : [coloured(type, ERROR, true), line.slice(type.length)];
}

function coloured(text: string, colour: string, isBold = false): HTMLElement {
  const span = make('span', {}, text);
  span.style.color = colour;
  if (isBold) span.style.fontWeight = 'bold';
  return span;
}

// What a task shows, in the form that notebooks keep it in: pictures as pictures, all else as text. Never HTML.

import { make } from './dom';
import { plainText } from './format';

/** Characters of one text; a page has to stay a page. */
const MAX_TEXT = 100_000;

const PICTURES = ['image/png', 'image/jpeg', 'image/gif', 'image/webp'] as const;

const BASE64 = /^[A-Za-z0-9+/\s]+={0,2}\s*$/;

export type ShownOutput = { readonly picture: string; readonly text: string } | { readonly text: string };

/** Decide how an output is shown; `null`: there is nothing to show of it. */
export function shownOutput(output: unknown): ShownOutput | null {
  if (!isObject(output)) return null;
  if (output.output_type === 'stream') return asText(joined(output.text));
  if (output.output_type === 'error') return asText([joined(output.ename), joined(output.evalue)].join(': '));
  const data = isObject(output.data) ? output.data : {};
  const text = plainText(joined(data['text/plain']));
  for (const type of PICTURES) {
    const encoded = joined(data[type]);
    if (encoded && BASE64.test(encoded)) return { picture: `data:${type};base64,${encoded.replace(/\s/g, '')}`, text };
  }
  // a picture of an <img> runs no scripts and loads nothing
  const svg = joined(data['image/svg+xml']);
  if (svg) return { picture: `data:image/svg+xml,${encodeURIComponent(svg)}`, text };
  const other = text || joined(data['text/markdown']) || joined(data['text/latex']);
  return asText(other || describe(Object.keys(data)));
}

function asText(text: string): ShownOutput | null {
  const plain = plainText(text);
  return plain ? { text: plain } : null;
}

function describe(types: readonly string[]): string {
  return types.length === 0 ? '' : `(${types.join(', ')}: shown in a notebook with %task show)`;
}

/** Make the elements that show these outputs. */
export function outputElements(outputs: readonly unknown[]): HTMLElement[] {
  return outputs
    .map(shownOutput)
    .filter(shown => shown !== null)
    .map(shown => {
      if (!('picture' in shown)) return make('pre', { class: 'taskfc-text' }, cut(shown.text));
      return make('img', { class: 'taskfc-picture', src: shown.picture, alt: cut(shown.text || 'a picture', 200) });
    });
}

function cut(text: string, most = MAX_TEXT): string {
  return text.length <= most ? text : `${text.slice(0, most)}…`;
}

/** A text of a notebook's file is a list of lines, or one text. */
function joined(value: unknown): string {
  if (typeof value === 'string') return value;
  return Array.isArray(value) ? value.filter(line => typeof line === 'string').join('') : '';
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

// A task's outputs, in the format of a notebook file, as elements: pictures as pictures, all else as text. Never HTML.

import { make } from './dom';
import { plainText } from './format';

/** Most characters of one text, so that the page stays responsive. */
const MAX_TEXT = 100_000;

const PICTURES = ['image/png', 'image/jpeg', 'image/gif', 'image/webp'] as const;

const BASE64 = /^[A-Za-z0-9+/\s]+={0,2}\s*$/;

export type OutputForm = { readonly picture: string; readonly text: string } | { readonly text: string };

/** Choose the form in which an output is shown; `null`: it has none. */
export function chooseForm(output: unknown): OutputForm | null {
  if (!isObject(output)) return null;
  if (output.output_type === 'stream') return asText(joinLines(output.text));
  if (output.output_type === 'error') return asText([joinLines(output.ename), joinLines(output.evalue)].join(': '));
  const data = isObject(output.data) ? output.data : {};
  const text = plainText(joinLines(data['text/plain']));
  for (const type of PICTURES) {
    const encoded = joinLines(data[type]);
    if (encoded && BASE64.test(encoded)) return { picture: `data:${type};base64,${encoded.replace(/\s/g, '')}`, text };
  }
  // an SVG in an <img> runs no scripts and loads nothing
  const svg = joinLines(data['image/svg+xml']);
  if (svg) return { picture: `data:image/svg+xml,${encodeURIComponent(svg)}`, text };
  const other = text || joinLines(data['text/markdown']) || joinLines(data['text/latex']);
  return asText(other || describe(Object.keys(data)));
}

function asText(text: string): OutputForm | null {
  const plain = plainText(text);
  return plain ? { text: plain } : null;
}

function describe(types: readonly string[]): string {
  return types.length === 0 ? '' : `(${types.join(', ')}: shown in a notebook with %task show)`;
}

/** Return the outputs that are the value of a cell, and the others. */
export function splitOutputs(outputs: readonly unknown[]): readonly [unknown[], unknown[]] {
  const isValue = (output: unknown): boolean => isObject(output) && output.output_type === 'execute_result';
  return [outputs.filter(isValue), outputs.filter(output => !isValue(output))];
}

/** Make elements for these outputs. */
export function makeOutputElements(outputs: readonly unknown[]): HTMLElement[] {
  return outputs
    .map(chooseForm)
    .filter(form => form !== null)
    .map(form => {
      if (!('picture' in form)) return make('pre', { class: 'taskfc-text' }, truncate(form.text));
      return make('img', { class: 'taskfc-picture', src: form.picture, alt: truncate(form.text || 'a picture', 200) });
    });
}

function truncate(text: string, most = MAX_TEXT): string {
  return text.length <= most ? text : `${text.slice(0, most)}…`;
}

/** Return a text of a notebook file, which is a string or a list of lines. */
function joinLines(value: unknown): string {
  if (typeof value === 'string') return value;
  return Array.isArray(value) ? value.filter(line => typeof line === 'string').join('') : '';
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

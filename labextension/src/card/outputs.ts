// The outputs of a task, sorted by place, as `rich.py` sorts them: texts on the card, all others beneath it. Pure.

// characters of a text on a card; a longer one goes beneath it
const LONGEST = 20_000;

const TEXT = 'text/plain';

/** Return the texts before the first other output, so that the order is kept. */
export function textsOnCard(outputs: readonly unknown[]): string[] {
  return withContents(outputs)
    .slice(0, nOnCard(outputs))
    .map(textOf);
}

/** Return the outputs beneath the card. */
export function outputsBeneath(outputs: readonly unknown[]): unknown[] {
  return withContents(outputs).slice(nOnCard(outputs));
}

/** Return the data of an output by MIME type. */
export function dataOf(output: unknown): Readonly<Record<string, unknown>> {
  const data = (output as { data?: unknown } | null)?.data;
  return typeof data === 'object' && data !== null ? (data as Record<string, unknown>) : {};
}

function withContents(outputs: readonly unknown[]): unknown[] {
  return outputs.filter(output => Object.keys(dataOf(output)).length > 0);
}

function nOnCard(outputs: readonly unknown[]): number {
  const shown = withContents(outputs);
  const end = shown.findIndex(output => !fits(output));
  return end < 0 ? shown.length : end;
}

function fits(output: unknown): boolean {
  return Object.keys(dataOf(output)).every(type => type === TEXT) && textOf(output).length <= LONGEST;
}

function textOf(output: unknown): string {
  const text = dataOf(output)[TEXT];
  return Array.isArray(text) ? text.join('') : String(text ?? '');
}

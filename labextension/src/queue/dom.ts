// DOM elements from plain values. All strings become text: nothing here, or built on it, parses HTML.

const SVG = 'http://www.w3.org/2000/svg';

export type Child = Node | string | null;

/** Make an element. Attributes that are `undefined` or `false` are left out; `true` becomes the empty text. */
export function make<Tag extends keyof HTMLElementTagNameMap>(
  tag: Tag,
  attributes: Readonly<Record<string, string | number | boolean | undefined>> = {},
  ...children: Child[]
): HTMLElementTagNameMap[Tag] {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (value !== undefined && value !== false) element.setAttribute(name, value === true ? '' : String(value));
  }
  element.append(...children.filter(child => child !== null));
  return element;
}

export function makeSvg(tag: string, attributes: Readonly<Record<string, string | number>> = {}): SVGElement {
  const element = document.createElementNS(SVG, tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, String(value));
  return element;
}

/** Set the text of an element if it differs: a write would disturb screen readers and selections. */
export function setText(element: Element, text: string): void {
  if (element.textContent !== text) element.textContent = text;
}

export function setAttribute(element: Element, name: string, value: string | null): void {
  if (value === null) element.removeAttribute(name);
  else if (element.getAttribute(name) !== value) element.setAttribute(name, value);
}

export function setHidden(element: HTMLElement, isHidden: boolean): void {
  if (element.hidden !== isHidden) element.hidden = isHidden;
}

let nIds = 0;

/** Make an id that is unique in the page. */
export function newId(): string {
  nIds += 1;
  return `taskfc-${nIds}-${Math.random().toString(36).slice(2, 8)}`;
}

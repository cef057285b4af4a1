// Elements from plain values. Whatever a task says becomes text: nothing here, or built on it, reads HTML.

const SVG = 'http://www.w3.org/2000/svg';

export type Child = Node | string | null;

/** Make an element. `attributes`: those that are `undefined` or `false` are left out; `true` is the empty text. */
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

/** Say what an element says, unless it says that already: what a screen reader or a selection is at stays. */
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

let made = 0;

/** An id that no other element of the page has. */
export function newId(): string {
  made += 1;
  return `taskfc-${made}-${Math.random().toString(36).slice(2, 8)}`;
}

// A context menu: a list of items at a place of the view, for the pointer and the keyboard.

import { make } from './dom';
import { makeIcon } from './icons';

export interface MenuItem {
  readonly label: string;
  readonly icon?: string;
  readonly isEnabled: boolean;
  readonly run: () => void;
}

/** Items between two lines. */
export type MenuGroup = readonly MenuItem[];

export class Menu {
  readonly element = make('div', { role: 'menu', class: 'taskfc-menu', tabindex: -1, hidden: true });
  private items: HTMLElement[] = [];

  /** @param onClose is called when the menu has closed and its focus has to go elsewhere. */
  constructor(private readonly onClose: () => void) {
    this.element.addEventListener('keydown', event => this.onKey(event));
    this.element.addEventListener('contextmenu', event => event.preventDefault());
    this.element.addEventListener('focusout', event => {
      // a click or Tab elsewhere: the focus is there already
      if (!this.element.contains(event.relatedTarget as Node | null)) this.hide();
    });
  }

  get isOpen(): boolean {
    return !this.element.hidden;
  }

  /** Open it at a place in the page, within the element that it is in. */
  open(label: string, groups: readonly MenuGroup[], x: number, y: number): void {
    this.element.setAttribute('aria-label', label);
    const lines = groups.filter(group => group.length > 0).map(group => group.map(item => this.makeItem(item)));
    this.items = lines.flat();
    const separator = (): HTMLElement => make('div', { role: 'separator', class: 'taskfc-separator' });
    this.element.replaceChildren(...lines.flatMap((group, at) => (at > 0 ? [separator(), ...group] : group)));
    this.element.hidden = false;
    this.place(x, y);
    (this.items.find(item => item.getAttribute('aria-disabled') === null) ?? this.items[0])?.focus();
  }

  /** Close it and give the focus back. */
  close(): void {
    if (!this.isOpen) return;
    this.hide();
    this.onClose();
  }

  private hide(): void {
    this.element.hidden = true;
    this.element.replaceChildren();
    this.items = [];
  }

  private place(x: number, y: number): void {
    const around = this.element.parentElement!.getBoundingClientRect();
    const { offsetWidth, offsetHeight } = this.element;
    const left = Math.min(x - around.left, around.width - offsetWidth - 2);
    const top = Math.min(y - around.top, around.height - offsetHeight - 2);
    this.element.style.left = `${Math.max(0, left)}px`;
    this.element.style.top = `${Math.max(0, top)}px`;
  }

  private makeItem({ label, icon, isEnabled, run }: MenuItem): HTMLElement {
    const attributes = { role: 'menuitem', class: 'taskfc-menu-item', tabindex: -1, 'aria-disabled': !isEnabled && 'true' };
    const item = make('div', attributes, icon ? makeIcon(icon) : make('span', { class: 'taskfc-icon' }), label);
    item.addEventListener('click', () => {
      if (!isEnabled) return;
      this.close();
      run();
    });
    item.addEventListener('pointerenter', () => item.focus({ preventScroll: true }));
    return item;
  }

  private onKey(event: KeyboardEvent): void {
    event.stopPropagation();
    const at = this.items.indexOf(event.target as HTMLElement);
    const last = this.items.length - 1;
    switch (event.key) {
      case 'ArrowDown':
        this.items[at === last ? 0 : at + 1]?.focus();
        break;
      case 'ArrowUp':
        this.items[at <= 0 ? last : at - 1]?.focus();
        break;
      case 'Home':
        this.items[0]?.focus();
        break;
      case 'End':
        this.items[last]?.focus();
        break;
      case 'Enter':
      case ' ':
        this.items[at]?.click();
        break;
      case 'Escape':
      case 'Tab':
      case 'ContextMenu':
        this.close();
        break;
      default:
        this.focusByLetter(event.key, at);
    }
    event.preventDefault();
  }

  /** Focus the next item that begins with this letter. */
  private focusByLetter(key: string, at: number): void {
    if (key.length !== 1) return;
    const inOrder = [...this.items.slice(at + 1), ...this.items.slice(0, at + 1)];
    inOrder.find(item => item.textContent.toLowerCase().startsWith(key.toLowerCase()))?.focus();
  }
}

/** Put a text on the clipboard; return whether that worked. Pages without HTTPS have only the older way. */
export async function copyText(text: string): Promise<boolean> {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch {
    const area = make('textarea', { class: 'taskfc-copied', 'aria-hidden': 'true' });
    area.value = text;
    const focused = document.activeElement;
    document.body.append(area);
    area.select();
    const isCopied = document.execCommand?.('copy') ?? false;
    area.remove();
    if (focused instanceof HTMLElement) focused.focus({ preventScroll: true });
    return isCopied;
  }
}

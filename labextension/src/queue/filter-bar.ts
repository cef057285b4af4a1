// The filter bar: text and notebook to filter by, and in narrow views the column to sort by.

import { make, setHidden } from './dom';
import { baseName, oneLine } from './format';
import { makeIcon } from './icons';
import { COLUMNS } from './row';
import { ALL, startsDescending } from './select';
import type { Criteria, SortKey } from './select';

const TYPED_MS = 120; // the pause in typing after which the filter is applied

// of the list; others can be found by the text
const MOST_OWNERS = 200;

export class FilterBar {
  readonly element: HTMLElement;
  private readonly text: HTMLInputElement;
  private readonly owners: HTMLSelectElement;
  private readonly sort: HTMLSelectElement;
  private offered: readonly string[] = [];
  private timer: ReturnType<typeof setTimeout> | undefined;

  constructor(onChoose: (criteria: Partial<Criteria>) => void) {
    const about = 'Filter by name, notebook, message or id';
    const attributes = {
      type: 'search',
      class: 'taskfc-input',
      placeholder: 'Filter tasks',
      'aria-label': about,
      title: about
    };
    this.text = make('input', { ...attributes, spellcheck: 'false', autocomplete: 'off' });
    this.text.addEventListener('input', () => {
      clearTimeout(this.timer);
      this.timer = setTimeout(() => onChoose({ text: this.text.value }), TYPED_MS);
    });
    this.owners = make('select', {
      class: 'taskfc-input taskfc-owners',
      'aria-label': 'From',
      title: 'Notebook or script'
    });
    this.owners.addEventListener('change', () => onChoose({ owner: this.owner }));
    this.sort = make('select', { class: 'taskfc-input taskfc-sort', 'aria-label': 'Sort by', title: 'Sort by' });
    for (const { key, title } of COLUMNS) this.sort.append(make('option', { value: key }, `by ${title.toLowerCase()}`));
    this.sort.value = ALL.sort;
    this.sort.addEventListener('change', () => {
      const sort = this.sort.value as SortKey;
      onChoose({ sort, isDescending: startsDescending(sort) });
    });
    const search = make('div', { class: 'taskfc-search' }, makeIcon('filter'), this.text);
    this.element = make('div', { class: 'taskfc-filter', role: 'search' }, search, this.owners, this.sort);
    this.offerOwners([]);
  }

  /** Offer these notebooks and scripts. The current choice stays. */
  offerOwners(owners: readonly string[]): void {
    const before = this.owner;
    const all = before === null || owners.includes(before) ? owners : [...owners, before];
    this.offered = all.slice(0, MOST_OWNERS);
    const options = this.offered.map((owner, at) =>
      make('option', { value: at, title: oneLine(owner) }, oneLine(baseName(owner), 60))
    );
    const allOwners = make('option', { value: '' }, 'all notebooks');
    this.owners.replaceChildren(allOwners, ...options);
    this.owners.value = before === null ? '' : String(this.offered.indexOf(before));
    setHidden(this.owners, all.length < 2);
  }

  /** Clear the controls, without a call of `onChoose`. */
  reset(): void {
    clearTimeout(this.timer);
    this.text.value = '';
    this.owners.value = '';
  }

  /** Put the keyboard's focus into the text. */
  focus(): void {
    this.text.focus();
  }

  private get owner(): string | null {
    return this.owners.value === '' ? null : (this.offered[Number(this.owners.value)] ?? null);
  }
}

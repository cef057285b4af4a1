// The first line of a card as elements, of a task and of a group alike. All text becomes text.

import { make, setAttribute, setText } from '../queue/dom';
import * as LOOK from './look';

export class HeadView {
  private readonly icon = make('span', { 'aria-hidden': 'true' });
  private readonly title = make('strong');
  private readonly state = make('span');
  private readonly facts = make('span', { style: LOOK.FAINT });

  /** Makes the line in `card`, which gets its label and its state. */
  constructor(private readonly card: HTMLElement) {
    card.append(this.icon, ' ', this.title, ' · ', this.state, ' ', this.facts);
  }

  /** Show a state. `text`: the state in words; `facts`: what else is known, of which empty ones are left out. */
  show(state: string, title: string, text: string, facts: readonly string[]): void {
    setAttribute(this.card, 'data-state', state);
    setAttribute(this.card, 'aria-label', title);
    setText(this.icon, LOOK.ICONS[state] ?? '?');
    this.icon.style.color = this.state.style.color = LOOK.COLOURS[state] ?? 'inherit';
    setText(this.title, title);
    setText(this.state, text);
    setText(this.facts, facts.filter(Boolean).map(fact => `· ${fact}`).join(' '));
  }
}

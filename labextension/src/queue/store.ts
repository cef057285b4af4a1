// What a page knows of one farm. Several views may show it: they look at the same numbers.

import type { ViewMessage, ViewQuestion } from './messages';

export class QueueStore {
  farm = '';

  /** @param ask sends a question to whoever knows. */
  constructor(private readonly ask: (question: ViewQuestion) => void) {}

  receive(_message: ViewMessage): void {}

  show(farm: string): void {
    this.farm = farm;
    this.ask({ ask: 'watch', farm });
  }

  reconnected(): void {
    if (this.farm) this.ask({ ask: 'watch', farm: this.farm });
  }
}

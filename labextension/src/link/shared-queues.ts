// The queues of farms that the parts of a page follow: one subscription for each farm, shared by all of them.

import type { FarmsLink } from './farms';
import { QueueStore } from './store';

interface Followed {
  readonly store: QueueStore;
  readonly dispose: () => void;
  nFollowers: number;
}

/** A part of the page that follows a farm. */
export interface Follower {
  readonly store: QueueStore;
  dispose(): void;
}

export class SharedQueues {
  private readonly followed = new Map<string, Followed>();

  constructor(private readonly link: Pick<FarmsLink, 'subscribe'>) {}

  /** Follow a farm, which need not run; `listener` is called after each change. */
  follow(farm: string, listener: () => void): Follower {
    const followed = this.followed.get(farm) ?? this.subscribe(farm);
    followed.nFollowers += 1;
    const unlisten = followed.store.onChange(listener);
    let isDisposed = false;
    return {
      store: followed.store,
      dispose: () => {
        if (isDisposed) return;
        isDisposed = true;
        unlisten();
        followed.nFollowers -= 1;
        if (followed.nFollowers > 0) return;
        followed.dispose();
        this.followed.delete(farm);
      }
    };
  }

  private subscribe(farm: string): Followed {
    const subscriber = this.link.subscribe(message => store.receive(message));
    const store = new QueueStore(question => subscriber.ask(question));
    const followed = { store, dispose: () => subscriber.dispose(), nFollowers: 0 };
    this.followed.set(farm, followed);
    store.show(farm);
    return followed;
  }
}

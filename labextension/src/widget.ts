// The widget: what anywidget calls for each view of a model.

import { CommandPath, serverPathOfPage } from './link/command-path';
import type { Host } from './link/host';
import { KernelPath } from './link/kernel-path';
import { carrierOf, serverOfPage } from './link/server';
import { Source } from './link/source';
import { QueueStore } from './link/store';
import { isNumbered } from './link/transport';
import type { FromKernel, ToKernel } from './link/transport';
import { QueueView } from './queue/view';

/** What anywidget passes of a model. */
export interface Model {
  get(name: string): unknown;
  send(content: ToKernel): void;
  on(event: string, listener: (content: unknown) => void): void;
  off(event: string, listener: (content: unknown) => void): void;
}

/** What the views of one model share. */
interface Shared {
  readonly store: QueueStore;
  readonly host: Host;
  readonly source: Source;
  n: number;
  readonly end: () => void;
}

const shared = new WeakMap<Model, Shared>();

function share(model: Model): Shared {
  const server = serverOfPage();
  const source: Source = new Source(message => model.send(message), () => store, server && carrierOf(server));
  const { ask } = source;
  const store = new QueueStore(ask);
  const kernel = new KernelPath(source.say, source.isThere);
  const identityOf = (farm: string): string => (store.farm === farm ? (store.status?.identity ?? '') : '');
  const path = new CommandPath(serverPathOfPage(), kernel, identityOf);
  const host: Host = {
    kind: 'widget',
    ask,
    command: (farm, command, say) => path.command(farm, command, say),
    details: (farm, taskid, known) => path.details(farm, taskid, known)
  };
  const receive = (content: unknown): void => {
    if (typeof content !== 'object' || content === null) return;
    const message = content as FromKernel;
    if (isNumbered(message)) kernel.receive(message);
    else store.receive(message);
  };
  const follow = (): void => store.show(String(model.get('farm') ?? ''));
  model.on('msg:custom', receive);
  model.on('change:farm', follow);
  const end = (): void => {
    model.off('msg:custom', receive);
    model.off('change:farm', follow);
    kernel.dispose();
    if (store.farm) ask({ ask: 'unwatch', farm: store.farm });
    source.dispose();
  };
  follow();
  return { store, host, source, n: 0, end };
}

function render({ model, el }: { model: Model; el: HTMLElement }): () => void {
  let ours = shared.get(model);
  if (ours === undefined) shared.set(model, (ours = share(model)));
  const { store, host, source, end } = ours;
  ours.n += 1;
  const view = new QueueView(el, host, store);
  // a model is made with its connection, so that this event can only mean that it has lost it
  const onLost = (): void => source.lost();
  model.on('comm_live_update', onLost);
  let isThere = true;
  return () => {
    if (!isThere) return;
    isThere = false;
    model.off('comm_live_update', onLost);
    view.dispose();
    ours.n -= 1;
    if (ours.n > 0) return;
    shared.delete(model);
    end();
  };
}

export default { render };

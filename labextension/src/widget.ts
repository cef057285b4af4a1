// The queue widget: its `render` is called by anywidget for each view of a model.

import { CommandPath, serverPathOfPage } from './link/command-path';
import type { Host } from './link/host';
import { KernelPath } from './link/kernel-path';
import { addressOfPage, serverAt } from './link/server';
import { WidgetSource } from './link/widget-source';
import { QueueStore } from './link/store';
import { isNumbered } from './link/transport';
import type { FromKernel, ToKernel } from './link/transport';
import { QueueView } from './queue/view';

/** The part of anywidget's model that is used here. */
export interface Model {
  get(name: string): unknown;
  send(content: ToKernel): void;
  on(event: string, listener: (content: unknown) => void): void;
  off(event: string, listener: (content: unknown) => void): void;
}

/** The parts that all views of one model share. */
interface Shared {
  readonly store: QueueStore;
  readonly host: Host;
  readonly source: WidgetSource;
  nViews: number;
  readonly end: () => void;
}

const shared = new WeakMap<Model, Shared>();

function share(model: Model): Shared {
  const server = addressOfPage();
  const source: WidgetSource = new WidgetSource(
    message => model.send(message),
    () => store,
    server && serverAt(server)
  );
  const { ask } = source;
  const store = new QueueStore(ask);
  const kernel = new KernelPath(source.send, source.isAlive);
  const identityOf = (farm: string): string => (store.farm === farm ? (store.status?.identity ?? '') : '');
  const path = new CommandPath(serverPathOfPage(), kernel, identityOf);
  const host: Host = {
    kind: 'widget',
    ask,
    command: (farm, command, notify) => path.command(farm, command, notify),
    details: (farm, taskid, known, isWithSource) => path.details(farm, taskid, known, isWithSource),
    storeBytes: farm => path.storeBytes(farm)
  };
  const receive = (content: unknown): void => {
    if (typeof content !== 'object' || content === null) return;
    const message = content as FromKernel;
    if (isNumbered(message)) kernel.receive(message);
    else store.receive(message);
  };
  const showFarm = (): void => store.show(String(model.get('farm') ?? ''));
  model.on('msg:custom', receive);
  model.on('change:farm', showFarm);
  const end = (): void => {
    model.off('msg:custom', receive);
    model.off('change:farm', showFarm);
    kernel.dispose();
    if (store.farm) ask({ ask: 'unwatch', farm: store.farm });
    source.dispose();
  };
  showFarm();
  return { store, host, source, nViews: 0, end };
}

function render({ model, el }: { model: Model; el: HTMLElement }): () => void {
  let parts = shared.get(model);
  if (parts === undefined) shared.set(model, (parts = share(model)));
  const { store, host, source, end } = parts;
  parts.nViews += 1;
  const view = new QueueView(el, host, store);
  // a model starts with a connection, so this event means that it was lost
  const onLost = (): void => source.switchToServer();
  model.on('comm_live_update', onLost);
  let isDisposed = false;
  return () => {
    if (isDisposed) return;
    isDisposed = true;
    model.off('comm_live_update', onLost);
    view.dispose();
    parts.nViews -= 1;
    if (parts.nViews > 0) return;
    shared.delete(model);
    end();
  };
}

export default { render };

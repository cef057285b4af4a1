// The renderer of outputs that have a card: it draws the card live, and has its saved form at hand.

import type { ISessionContext } from '@jupyterlab/apputils';
import type { OutputArea } from '@jupyterlab/outputarea';
import { MimeModel } from '@jupyterlab/rendermime';
import type { IRenderMime, IRenderMimeRegistry } from '@jupyterlab/rendermime';
import type { ReadonlyPartialJSONObject } from '@lumino/coreutils';
import type { Message } from '@lumino/messaging';
import { Panel, Widget } from '@lumino/widgets';

import { dataOf } from '../card/outputs';
import type { CardHost, DrawnCard, Hidden } from '../card/host';
import { CHOICE_CHANGED } from '../card/kernel-parts';
import { OF_CARD } from '../link/messages';

const SAVED = 'text/html';

// after these, what the kernel has shown has no kernel; widgets are told only of a restart that a user asks for
const ENDS: ReadonlySet<string> = new Set(['restarting', 'autorestarting', 'terminating', 'dead']);

// before the saved form, and before widgets
const RANK = -20;

/** Register a renderer for outputs with a card of this MIME type. */
export function addCards(
  rendermime: IRenderMimeRegistry,
  mimeType: string,
  make: (host: CardHost) => DrawnCard
): void {
  const createRenderer = (options: IRenderMime.IRendererOptions): IRenderMime.IRenderer =>
    new CardRenderer(rendermime.clone({ resolver: options.resolver ?? undefined }), mimeType, make);
  // safe: all text stays text, and outputs of tasks are shown under the notebook's own rules of trust
  rendermime.addFactory({ safe: true, mimeTypes: [mimeType], defaultRank: RANK, createRenderer });
}

class CardRenderer extends Panel implements IRenderMime.IRenderer, CardHost {
  readonly place = document.createElement('div');

  private readonly saved: IRenderMime.IRenderer;
  private readonly outputs = new Panel();
  private readonly card: DrawnCard;
  private readonly observer = new IntersectionObserver(entries => this.onSeen(entries));
  private isSeen = false;
  private model: IRenderMime.IMimeModel | null = null;
  private shownOutputs: readonly unknown[] = [];
  private hiddenParts: Hidden = 'none';
  private area: OutputArea | null = null;
  private session: ISessionContext | null = null;
  private hasKernelEnded = false;

  constructor(
    private readonly rendermime: IRenderMimeRegistry,
    private readonly mimeType: string,
    make: (host: CardHost) => DrawnCard
  ) {
    super();
    this.addClass('taskfc-drawn');
    this.saved = rendermime.createRenderer(SAVED);
    this.addWidget(this.saved);
    this.addWidget(new Widget({ node: this.place }));
    this.addWidget(this.outputs);
    this.observer.observe(this.node);
    this.card = make(this);
  }

  async renderModel(model: IRenderMime.IMimeModel): Promise<void> {
    this.model = model;
    this.card.show(model.data[this.mimeType]);
    await this.saved.renderModel(model);
    if (!this.isDisposed) this.card.update();
  }

  override dispose(): void {
    if (this.isDisposed) return;
    this.observer.disconnect();
    this.card.dispose();
    this.leaveArea();
    this.saved.dispose();
    super.dispose();
  }

  // the host of the card

  showSaved(isShown: boolean): void {
    if (isShown === (this.saved.parent === this)) return;
    if (isShown) this.insertWidget(0, this.saved);
    else this.saved.parent = null;
  }

  savedTexts(): string[] {
    return [...this.saved.node.querySelectorAll('pre')].map(block => block.textContent ?? '');
  }

  showOutputs(outputs: readonly unknown[]): void {
    if (JSON.stringify(outputs) === JSON.stringify(this.shownOutputs)) return;
    this.shownOutputs = outputs;
    while (this.outputs.widgets.length > 0) this.outputs.widgets[0]!.dispose();
    for (const output of outputs) this.addOutput(output);
  }

  kernelParts(): readonly Element[] {
    return this.hasKernelEnded ? [] : this.ownParts().map(part => part.node);
  }

  hideKernelParts(which: Hidden): void {
    this.hiddenParts = which;
    const isHidden = (part: Widget): boolean => which === 'all' || (which === 'buttons' && hasButtons(part));
    for (const part of this.ownParts()) part.toggleClass('taskfc-mod-taken', isHidden(part));
  }

  isInView(): boolean {
    return this.isSeen && !document.hidden;
  }

  protected override onAfterAttach(message: Message): void {
    super.onAfterAttach(message);
    this.area = findAround(this, each => each.hasClass('jp-OutputArea')) as OutputArea | null;
    this.area?.model.changed.connect(this.onOutputs, this);
    this.area?.node.addEventListener(CHOICE_CHANGED, this.onChoice);
    const notebook = findAround(this, each => 'sessionContext' in each); // none in views without a kernel
    this.session = (notebook as { sessionContext?: ISessionContext } | null)?.sessionContext ?? null;
    this.session?.statusChanged.connect(this.onStatus, this);
    this.card.update();
  }

  protected override onBeforeDetach(message: Message): void {
    this.leaveArea();
    super.onBeforeDetach(message);
  }

  private leaveArea(): void {
    this.area?.model.changed.disconnect(this.onOutputs, this);
    this.area?.node.removeEventListener(CHOICE_CHANGED, this.onChoice);
    this.session?.statusChanged.disconnect(this.onStatus, this);
    this.area = this.session = null;
  }

  private onOutputs(): void {
    this.hideKernelParts(this.hiddenParts);
  }

  private readonly onChoice = (): void => this.card.update();

  private onStatus(_: unknown, status: string): void {
    if (!ENDS.has(status)) return;
    this.hasKernelEnded = true;
    this.card.update();
  }

  private onSeen(entries: readonly IntersectionObserverEntry[]): void {
    this.isSeen = entries.some(entry => entry.isIntersecting);
    if (this.isSeen) this.card.update();
  }

  /** Return the outputs of the cell that belong to this card: the kernel marks them with its id. */
  private ownParts(): Widget[] {
    const id = (this.model?.data[this.mimeType] as { card?: unknown } | undefined)?.card;
    const { area } = this;
    if (area === null || typeof id !== 'string') return [];
    return area.widgets.filter((_, at) => area.model.get(at)?.metadata[OF_CARD] === id);
  }

  private addOutput(output: unknown): void {
    const data = dataOf(output) as ReadonlyPartialJSONObject;
    const metadata = ((output as { metadata?: unknown }).metadata ?? {}) as ReadonlyPartialJSONObject;
    const trusted = this.model?.trusted ?? false;
    const type = this.rendermime.preferredMimeType(data, trusted ? 'any' : 'ensure');
    if (type === undefined) return;
    const renderer = this.rendermime.createRenderer(type);
    renderer.addClass('taskfc-output');
    this.outputs.addWidget(renderer);
    void renderer.renderModel(new MimeModel({ data, metadata, trusted }));
  }
}

/** Whether an output is a widget: the buttons, or the message about those that were lost with their kernel. */
function hasButtons(part: Widget): boolean {
  return part.node.querySelector('.lm-Panel.jp-OutputArea-output') !== null;
}

/** Find the nearest widget around this one, or itself, that `isIt`. */
function findAround(widget: Widget, isIt: (each: Widget) => boolean): Widget | null {
  for (let each: Widget | null = widget; each !== null; each = each.parent) if (isIt(each)) return each;
  return null;
}

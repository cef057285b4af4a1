// The interface between a card that a page draws and what shows it: in JupyterLab, the renderer of its output.

/** Which parts of the kernel are hidden: all outputs of the card, as the page shows the task's; or only the buttons. */
export type Hidden = 'none' | 'buttons' | 'all';

export interface CardHost {
  /** Where the card puts its elements. */
  readonly place: HTMLElement;

  /** Show or hide the saved form of the card. */
  showSaved(isShown: boolean): void;

  /** Return the blocks of text of the saved form; empty before it was drawn. */
  savedTexts(): string[];

  /** Show outputs in the form of a notebook's file, under the rules of trust of the notebook. */
  showOutputs(outputs: readonly unknown[]): void;

  /** Return the elements of the outputs that the kernel shows for this card; none if that has ended. */
  kernelParts(): readonly Element[];

  /** Hide the outputs that the kernel shows for this card. */
  hideKernelParts(which: Hidden): void;

  /** Whether the card is in view; if not, nothing is asked for it. */
  isInView(): boolean;
}

/** A card that a page draws. */
export interface DrawnCard {
  /** Draw what the output has now; `data`: of its own MIME type. */
  show(data: unknown): void;

  /** Draw again, as what the host tells has changed. */
  update(): void;

  dispose(): void;
}

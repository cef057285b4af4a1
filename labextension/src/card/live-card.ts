// The card of one task, drawn from the state of its farm; where that is not known, the saved form with what to do.

import { CARD_VERSION, FarmState } from '../link/messages';
import type { TaskCard, TaskDetails } from '../link/messages';
import { isFinal } from '../link/model';
import { RequestError } from '../link/server';
import type { QueueStore } from '../link/store';
import { oneLine } from '../queue/format';
import { ActionRow } from './action-row';
import type { Verb } from './action-row';
import { adviceOnStale, startLine } from './advice';
import type { Advice } from './advice';
import type { CardDesk } from './desk';
import { CardFarm } from './farm';
import { headlineOfAsleep, headlineOfEnded, headlineOfPlace, offersOf } from './headline';
import type { Headline } from './headline';
import type { CardHost, DrawnCard, Hidden } from './host';
import { actInKernel, choiceOfKernel, findLiveButtons } from './kernel-parts';
import type { KernelChoice } from './kernel-parts';
import { outputsBeneath, textsOnCard } from './outputs';
import { newestRetry, taskSituation } from './situation';
import { CardView } from './view';

/** Why the store does not have a task any more: in its first line, and alone. */
interface Gone {
  readonly notice: string;
  readonly sentence: string;
}

function clearedTask(taskid: number): Gone {
  return { notice: 'cleared from the store', sentence: `Task ${taskid} is cleared from the store.` };
}

/** `sentence`: of the farm, such as `Task 7 expired after 7 days.` */
function expiredTask(taskid: number, sentence: string): Gone {
  return { notice: sentence.replace(`Task ${taskid} `, '').replace(/\.$/, ''), sentence };
}

const ASKED_EVERY_MS = 900;

const NO_KERNEL = 'The kernel of this card was restarted: run the cell again.';

/** Whether the data of an output are those of a card that this page understands. */
export function isTaskCard(data: unknown): data is TaskCard {
  const card = data as Partial<TaskCard> | null;
  const isIt = typeof card === 'object' && card?.version === CARD_VERSION && Number.isSafeInteger(card.taskid);
  return isIt && [card.card, card.farm, card.title, card.state].every(text => typeof text === 'string');
}

export class LiveCard implements DrawnCard {
  private readonly view = new CardView();
  private readonly row = new ActionRow<string>((verb, show) => this.act(verb, show));
  private readonly farm: CardFarm;
  private card: TaskCard | null = null;
  /** The line that was drawn last from the state of the farm. */
  private head: Headline | null = null;
  private details: TaskDetails | null = null;
  /** What the kernel offers while the farm is live. */
  private choice: KernelChoice | null = null;
  /** What the farm answered about a task that it does not have; `null`: it was not asked. */
  private gone: Gone | null = null;
  // the task and the state that details were asked for last, and when
  private askedFor = '';
  private askedAt = -Infinity;
  private isDisposed = false;

  constructor(
    private readonly desk: CardDesk,
    private readonly host: CardHost
  ) {
    host.place.append(this.row.element);
    this.farm = new CardFarm(desk, host, () => this.update());
  }

  show(data: unknown): void {
    const before = this.card;
    this.card = isTaskCard(data) ? data : null;
    this.farm.follow(this.card?.farm ?? '');
    if (this.card?.taskid !== before?.taskid || this.card?.submitted !== before?.submitted) this.forget();
    this.update();
  }

  dispose(): void {
    this.isDisposed = true;
    this.farm.dispose();
  }

  update(): void {
    const { card } = this;
    this.choice = null;
    if (card === null) return this.showSaved([], 'none');
    const situation = this.farm.situate();
    const { status, store } = this.farm;
    if (situation === 'live' && store !== null) this.showLive(card, store);
    else if (situation === 'unreachable') this.showUnreachable(card);
    else if (situation === 'asleep') this.showAsleep(card, status?.state === FarmState.DEAD ? 'farm died' : 'farm stopped');
    else this.showWhatIsKnown(card, situation === 'away' && this.head !== null ? (status?.message ?? '') : '');
  }

  private forget(): void {
    this.head = this.details = null;
    this.gone = null;
    this.askedFor = '';
    this.view.showPrinted('');
    this.showDetails();
  }

  // one for each situation

  private showLive(card: TaskCard, store: QueueStore): void {
    const { queue } = store;
    const situation = taskSituation(queue, card);
    const taskid = newestRetry(queue, card.taskid);
    this.choice = choiceOfKernel(this.host.kernelParts());
    if (situation === 'dropped') this.showGone(card, clearedTask(card.taskid));
    else if (taskid !== card.taskid) this.draw(card, this.headOf(taskid, store));
    else if (situation === 'cleared' || this.gone !== null) this.showGone(card, this.gone);
    else if (isFinal(card.state)) this.showFinal(offersOf(card.state));
    else if (situation === 'listed') this.draw(card, this.headOf(taskid, store));
    else this.showUnlisted(card);
  }

  private headOf(taskid: number, { queue, wall }: QueueStore): Headline {
    const task = this.details?.task;
    return headlineOfPlace(queue, queue.placeOf(taskid), wall, task?.taskid === taskid ? task.message : '');
  }

  /** Show the form that the kernel has saved of the end, which has more of the notebook than the farm knows. */
  private showFinal(offers: readonly Verb[]): void {
    this.head = null;
    this.showSaved(offers, 'buttons');
  }

  private showUnlisted(card: TaskCard): void {
    if (this.details?.task.taskid === card.taskid) this.draw(card, headlineOfEnded(this.details.task));
    else this.showWhatIsKnown(card, '');
    this.ask(card.taskid, 'unlisted');
  }

  /** `gone`: `null` if the farm has to be asked why; most tasks are gone because they were cleared. */
  private showGone(card: TaskCard, gone: Gone | null): void {
    const isOfKernel = !isFinal(card.state) && findLiveButtons(this.host.kernelParts()) !== null;
    if (isOfKernel) return this.showSaved([], 'none'); // the kernel's farm has only the name of the one here
    const { notice, sentence } = gone ?? clearedTask(card.taskid);
    this.showWhatIsKnown(card, notice, sentence);
    if (gone === null) this.ask(card.taskid, 'gone');
  }

  private showUnreachable(card: TaskCard): void {
    if (isFinal(card.state) || this.farm.mayHaveKernel()) return this.showSaved([], 'none');
    this.showSaved([], 'none', adviceOnStale(card.as_of, `%task show ${card.taskid}`));
  }

  private showAsleep(card: TaskCard, why: string): void {
    const seen = this.head;
    if (seen?.isFinal) return this.showWhatIsKnown(card, '');
    if (isFinal(card.state)) return this.showFinal([]);
    if (seen === null) this.view.showTexts(this.host.savedTexts());
    this.view.showHead(card.farm, headlineOfAsleep(card, seen, why, Date.now() / 1000), '');
    this.showView([], seen === null ? 'buttons' : 'all', ['It goes on with', startLine(card.farm)]);
  }

  /** Show the last form: what was drawn, with a notice in its line, or what was saved, with a sentence beneath. */
  private showWhatIsKnown(card: TaskCard, notice: string, sentence = ''): void {
    if (this.head === null) {
      if (sentence) this.showSaved([], 'buttons', [oneLine(sentence)]);
      else this.showSaved([], 'none');
      return;
    }
    this.view.showHead(card.farm, this.head, oneLine(notice));
    this.showView([], 'all');
  }

  private draw(card: TaskCard, head: Headline): void {
    if (head.taskid !== this.head?.taskid && this.head !== null) this.forget();
    this.head = head;
    this.view.showHead(card.farm, head, '');
    const lacksDetails = head.hasBegun && !this.details?.task.attempts; // those of a task that waits have nothing else
    if (lacksDetails && head.taskid === card.taskid) this.view.showTexts(this.host.savedTexts()); // until they are here
    const noRoom = head.isFinal ? '' : this.farm.noRoom;
    this.showView(head.offers, lacksDetails ? 'buttons' : 'all', [noRoom]);
    this.ask(head.taskid, head.state);
  }

  private showSaved(offers: readonly Verb[], hidden: Hidden, advice: Advice = []): void {
    this.view.element.remove(); // a page has one card of a task
    this.host.showSaved(true);
    this.host.showOutputs([]);
    this.finish(offers, hidden, advice);
  }

  private showView(offers: readonly Verb[], hidden: Hidden, advice: Advice = []): void {
    if (this.view.element.parentElement === null) {
      this.host.place.prepend(this.view.element);
      this.host.showOutputs(outputsBeneath(this.details?.outputs ?? []));
    }
    this.host.showSaved(false);
    this.finish(offers, hidden, advice);
  }

  private finish(offers: readonly Verb[], hidden: Hidden, [text = '', typed = '']: Advice): void {
    const taskid = this.head?.taskid ?? this.card?.taskid;
    const choice = this.choice?.taskid === taskid ? this.choice : null;
    this.row.offer(`task ${taskid ?? ''}`, choice?.verbs ?? offers, choice?.labels);
    this.row.advise(text, typed);
    this.row.setHidden(hidden === 'none' && !text);
    this.host.hideKernelParts(hidden);
  }

  // details

  /** Ask for the details of a task, unless those of this state are here; a task that runs is asked for each second. */
  private ask(taskid: number, state: string): void {
    const what = `${taskid} ${state}`;
    const isHere = state !== 'gone' && this.details?.task.taskid === taskid && isFinal(this.details.task.state);
    const isTooEarly = what === this.askedFor && performance.now() - this.askedAt < ASKED_EVERY_MS;
    if (isHere || isTooEarly || !this.host.isInView() || this.card === null) return;
    this.askedFor = what;
    this.askedAt = performance.now();
    const { link, requests } = this.desk;
    const { farm } = this.card;
    const known = this.details?.task.taskid === taskid ? (this.details.version ?? '') : '';
    requests.ask([farm, taskid, known, state].join('/'), () => link.details(farm, taskid, known)).then(
      details => this.receive(what, details),
      (error: unknown) => this.onProblem(what, error)
    );
  }

  private receive(what: string, details: TaskDetails): void {
    if (this.isDisposed || what !== this.askedFor) return;
    const isOther = details.task.taskid === this.card?.taskid && details.task.submitted !== this.card.submitted;
    if (isOther) this.gone = clearedTask(details.task.taskid);
    else {
      const isNew = details.outputs != null || this.details === null;
      this.details = isNew ? details : { ...details, outputs: this.details?.outputs };
      this.showDetails(isNew);
    }
    this.update();
  }

  private onProblem(what: string, error: unknown): void {
    if (this.isDisposed || what !== this.askedFor) return;
    const { card } = this;
    const isAboutEnd = what.endsWith('unlisted') || what.endsWith('gone');
    if (card === null || this.farm.store === null || !isAboutEnd || !(error instanceof RequestError)) return;
    if (error.status === 410) this.gone = expiredTask(card.taskid, error.message);
    else if (error.status === 404) this.gone = clearedTask(card.taskid);
    else return;
    this.update();
  }

  private showDetails(areOutputsNew = true): void {
    const { log = '', traceback = '', note = '', outputs, n_cut: nCut = 0 } = this.details ?? {};
    this.view.showPrinted(log, nCut);
    this.view.showFailure(traceback, note);
    if (!areOutputsNew) return;
    this.view.showTexts(textsOnCard(outputs ?? []));
    this.host.showOutputs(outputsBeneath(outputs ?? []));
  }

  private async act(verb: string, show: (text: string) => void): Promise<string> {
    const { card, head } = this;
    if (card === null) return '';
    const taskid = head?.taskid ?? card.taskid;
    const parts = this.host.kernelParts();
    const answer = verb === 'abort' ? null : actInKernel(parts, verb, taskid, show);
    if (answer !== null) return answer;
    if (verb !== 'abort' && verb !== 'retry') throw new Error(NO_KERNEL);
    return this.farm.command(verb, [taskid]);
  }
}

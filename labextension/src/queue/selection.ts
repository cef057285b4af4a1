// Which tasks are selected, and at which one the keyboard is. Pure.

export class Selection {
  readonly ids = new Set<number>();
  /** The task that the keyboard is at; -1: none. */
  focus = -1;
  // where a range with Shift begins
  private anchor = -1;

  /** Go to a task, and select it alone. */
  choose(taskid: number): void {
    this.ids.clear();
    this.ids.add(taskid);
    this.focus = this.anchor = taskid;
  }

  /** Go to a task without selecting it. */
  visit(taskid: number): void {
    this.focus = this.anchor = taskid;
  }

  /** Select a task as well, or no more. */
  toggle(taskid: number): void {
    if (!this.ids.delete(taskid)) this.ids.add(taskid);
    this.focus = this.anchor = taskid;
  }

  /** Select all from where the range began to this task, and nothing else. */
  extend(taskid: number, order: Float64Array): void {
    const to = order.indexOf(taskid);
    const from = order.indexOf(this.anchor);
    this.ids.clear();
    const [first, last] = from < 0 ? [to, to] : from < to ? [from, to] : [to, from];
    for (let row = Math.max(0, first); row <= last; row++) this.ids.add(order[row]!);
    if (from < 0) this.anchor = taskid;
    this.focus = taskid;
  }

  all(order: Float64Array): void {
    this.ids.clear();
    order.forEach(taskid => this.ids.add(taskid));
  }

  clear(): void {
    this.ids.clear();
  }

  /** Keep those alone that are in `order`; return whether there were others. */
  keep(order: Float64Array): boolean {
    const before = this.ids.size;
    if (before === 0) return false;
    const kept = order.filter(taskid => this.ids.has(taskid));
    if (kept.length === before) return false;
    this.all(kept);
    return true;
  }
}

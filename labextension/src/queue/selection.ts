// The selected tasks, and the task that has the keyboard's focus. Pure.

export class Selection {
  readonly ids = new Set<number>();
  /** The task with the keyboard's focus; -1: none. */
  focus = -1;
  // the task where a range with Shift begins
  private anchor = -1;

  /** Focus a task and select only it. */
  choose(taskid: number): void {
    this.ids.clear();
    this.ids.add(taskid);
    this.focus = this.anchor = taskid;
  }

  /** Focus a task without selecting it. */
  visit(taskid: number): void {
    this.focus = this.anchor = taskid;
  }

  /** Select one more task, or deselect it. */
  toggle(taskid: number): void {
    if (!this.ids.delete(taskid)) this.ids.add(taskid);
    this.focus = this.anchor = taskid;
  }

  /** Select exactly the tasks from the beginning of the range to this one. */
  extend(taskid: number, order: Float64Array): void {
    const to = order.indexOf(taskid);
    const from = order.indexOf(this.anchor);
    this.ids.clear();
    const [first, last] = from < 0 ? [to, to] : from < to ? [from, to] : [to, from];
    for (let row = Math.max(0, first); row <= last; row++) this.ids.add(order[row]!);
    if (from < 0) this.anchor = taskid;
    this.focus = taskid;
  }

  selectAll(order: Float64Array): void {
    this.ids.clear();
    order.forEach(taskid => this.ids.add(taskid));
  }

  clear(): void {
    this.ids.clear();
  }

  /** Deselect the tasks that are not in `order`; return whether there were any. */
  keep(order: Float64Array): boolean {
    const before = this.ids.size;
    if (before === 0) return false;
    const kept = order.filter(taskid => this.ids.has(taskid));
    if (kept.length === before) return false;
    this.selectAll(kept);
    return true;
  }
}

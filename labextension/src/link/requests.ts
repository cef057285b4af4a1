// Requests that wait for each other: a page with fifty cards must not send fifty at once, nor the same one twice.

interface Waiting {
  readonly run: () => Promise<unknown>;
  readonly resolve: (answer: never) => void;
  readonly reject: (error: unknown) => void;
}

export class Requests {
  private readonly waiting: Waiting[] = [];
  private readonly asked = new Map<string, Promise<unknown>>();
  private nRunning = 0;

  /** @param atOnce browsers have six connections to a server, which JupyterLab needs as well. */
  constructor(private readonly atOnce = 3) {}

  /** Run a request as soon as there is a place for it. One with the same `key` that has no answer yet is shared. */
  ask<Answer>(key: string, run: () => Promise<Answer>): Promise<Answer> {
    const asked = this.asked.get(key);
    if (asked !== undefined) return asked as Promise<Answer>;
    const answer = new Promise<Answer>((resolve, reject) => this.waiting.push({ run, resolve, reject }));
    this.asked.set(key, answer);
    const forget = (): boolean => this.asked.delete(key);
    answer.then(forget, forget);
    this.runNext();
    return answer;
  }

  private runNext(): void {
    if (this.nRunning >= this.atOnce) return;
    const next = this.waiting.shift();
    if (next === undefined) return;
    this.nRunning += 1;
    const onEnd = (): void => {
      this.nRunning -= 1;
      this.runNext();
    };
    const running = next.run();
    running.then(next.resolve as (answer: unknown) => void, next.reject);
    running.then(onEnd, onEnd);
  }
}

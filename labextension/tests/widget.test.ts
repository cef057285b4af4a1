import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import { FakeFarm } from '../demo/fake-farm';
import { fakeTimers } from './queue/fixtures';
import type { ToKernel } from '../src/link/transport';
import widget from '../src/widget';
import type { Model } from '../src/widget';

class FakeModel implements Model {
  readonly sent: ToKernel[] = [];
  readonly listeners = new Map<string, Set<(content: unknown) => void>>();
  farm = 'default';

  get(name: string): unknown {
    return name === 'farm' ? this.farm : undefined;
  }

  send(content: ToKernel): void {
    this.sent.push(content);
  }

  on(event: string, listener: (content: unknown) => void): void {
    this.listeners.set(event, (this.listeners.get(event) ?? new Set()).add(listener));
  }

  off(event: string, listener: (content: unknown) => void): void {
    this.listeners.get(event)?.delete(listener);
  }

  tell(content: unknown, event = 'msg:custom'): void {
    for (const listener of this.listeners.get(event) ?? []) listener(content);
  }
}

let model: FakeModel;

beforeEach(() => {
  fakeTimers();
  model = new FakeModel();
});

afterEach(() => vi.useRealTimers());

function render(): { el: HTMLElement; dispose: () => void } {
  const el = document.body.appendChild(document.createElement('div'));
  return { el, dispose: widget.render({ model, el }) };
}

test('views of one model share what it was told, and the last one takes its leave', async () => {
  const farm = new FakeFarm({ queued: 5, wall: Date.now() / 1000 });
  const one = render();
  expect(model.sent).toEqual([{ ask: 'watch', farm: 'default' }]);
  model.tell(farm.snapshot());
  const two = render();
  model.tell('no message at all');
  await vi.advanceTimersByTimeAsync(500);
  expect(model.sent).toHaveLength(1);
  for (const { el } of [one, two]) expect(el.querySelectorAll('.taskfc-row')).toHaveLength(5);
  one.dispose();
  one.dispose();
  model.tell(farm.step(0.1));
  await vi.advanceTimersByTimeAsync(500);
  expect([one.el.childElementCount, two.el.querySelectorAll('[data-state=running]').length]).toEqual([0, 6]);
  two.dispose();
  expect(model.sent.slice(1)).toEqual([{ ask: 'unwatch', farm: 'default' }]);
  expect([...model.listeners.values()].every(listeners => listeners.size === 0)).toBe(true);
  render().dispose();
  expect(model.sent.slice(2)).toEqual([
    { ask: 'watch', farm: 'default' },
    { ask: 'unwatch', farm: 'default' }
  ]);
});

test('a command is a numbered message, and what came of it is said', async () => {
  const farm = new FakeFarm({ queued: 5, wall: Date.now() / 1000 });
  const { el, dispose } = render();
  model.tell(farm.snapshot());
  await vi.advanceTimersByTimeAsync(500);
  el.querySelector('.taskfc-row')!.dispatchEvent(new MouseEvent('click', { bubbles: true }));
  el.querySelector<HTMLElement>('[data-action=hold]')!.click();
  await vi.advanceTimersByTimeAsync(0);
  const asked = model.sent.at(-1) as { number: number };
  expect(asked).toEqual({ number: expect.any(Number), command: { do: 'hold', taskids: [0], identity: '' } });
  model.tell({ number: asked.number, heard: true });
  model.tell({ number: asked.number, answer: { ok: true, said: 'task 0 is held' } });
  await vi.advanceTimersByTimeAsync(0);
  expect(el.querySelector('.taskfc-said')!.textContent).toBe('task 0 is held');
  dispose();
});

test('what is typed in it is no shortcut of the notebook, and another farm is followed', () => {
  const { el, dispose } = render();
  const heard = vi.fn();
  el.addEventListener('keydown', heard);
  el.querySelector('.taskfc-table')!.dispatchEvent(new KeyboardEvent('keydown', { key: 'x', bubbles: true }));
  expect(heard).not.toHaveBeenCalled();
  expect(el.querySelector('[data-lm-suppress-shortcuts]')).not.toBeNull();
  model.farm = 'gpu';
  model.tell(undefined, 'change:farm');
  expect(model.sent.slice(1)).toEqual([
    { ask: 'unwatch', farm: 'default' },
    { ask: 'watch', farm: 'gpu' }
  ]);
  dispose();
});

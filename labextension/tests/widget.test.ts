// The queue widget and its model.

import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import { FakeFarm } from '../demo/fake-farm';
import { useFakeTimers } from './queue/fixtures';
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

  emit(content: unknown, event = 'msg:custom'): void {
    for (const listener of this.listeners.get(event) ?? []) listener(content);
  }
}

let model: FakeModel;

beforeEach(() => {
  useFakeTimers();
  model = new FakeModel();
});

afterEach(() => vi.useRealTimers());

function render(): { el: HTMLElement; dispose: () => void } {
  const el = document.body.appendChild(document.createElement('div'));
  return { el, dispose: widget.render({ model, el }) };
}

test('views of one model share its messages, and the last one unwatches the farm', async () => {
  const farm = new FakeFarm({ queued: 5, wall: Date.now() / 1000 });
  const one = render();
  expect(model.sent).toEqual([{ ask: 'watch', farm: 'default' }]);
  model.emit(farm.snapshot());
  const two = render();
  model.emit('no message at all');
  await vi.advanceTimersByTimeAsync(500);
  expect(model.sent).toHaveLength(1);
  for (const { el } of [one, two]) expect(el.querySelectorAll('.taskfc-row')).toHaveLength(5);
  one.dispose();
  one.dispose();
  model.emit(farm.step(0.1));
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

test('a command is a numbered message, and its result is shown', async () => {
  const farm = new FakeFarm({ queued: 5, wall: Date.now() / 1000 });
  const { el, dispose } = render();
  model.emit(farm.snapshot());
  await vi.advanceTimersByTimeAsync(500);
  el.querySelector('.taskfc-row')!.dispatchEvent(new MouseEvent('click', { bubbles: true }));
  el.querySelector<HTMLElement>('[data-action=hold]')!.click();
  await vi.advanceTimersByTimeAsync(0);
  const asked = model.sent.at(-1) as { number: number };
  expect(asked).toEqual({ number: expect.any(Number), command: { do: 'hold', taskids: [0], identity: '' } });
  model.emit({ number: asked.number, heard: true });
  model.emit({ number: asked.number, answer: { ok: true, said: 'task 0 is held' } });
  await vi.advanceTimersByTimeAsync(0);
  expect(el.querySelector('.taskfc-said')!.textContent).toBe('task 0 is held');
  dispose();
});

test('keys do not reach the notebook, and the view changes with the farm', () => {
  const { el, dispose } = render();
  const onKeydown = vi.fn();
  el.addEventListener('keydown', onKeydown);
  el.querySelector('.taskfc-table')!.dispatchEvent(new KeyboardEvent('keydown', { key: 'x', bubbles: true }));
  expect(onKeydown).not.toHaveBeenCalled();
  expect(el.querySelector('[data-lm-suppress-shortcuts]')).not.toBeNull();
  model.farm = 'gpu';
  model.emit(undefined, 'change:farm');
  expect(model.sent.slice(1)).toEqual([
    { ask: 'unwatch', farm: 'default' },
    { ask: 'watch', farm: 'gpu' }
  ]);
  dispose();
});

// The engine that has a farm's workers, in words.

import { MAX_WORKERS } from '../link/messages';
import type { EngineInfo } from '../link/messages';
import { formatClock, formatCount, oneLine, plural } from './format';

/**
 * Return an engine and its `there` workers in words, as `engine_text` of taskfc_ext/view/wording.py does:
 * `Dask tcp://head:8786 · 12 of at most 40 workers on 3 hosts`. `now`: the clock of `engine.since`, in seconds.
 */
export function engineText(engine: EngineInfo, there: number, now: number): string {
  const kind = `${engine.kind.charAt(0).toUpperCase()}${engine.kind.slice(1)}`;
  const where = engine.url === engine.kind ? kind : `${kind} ${oneLine(engine.url)}`; // `ray` has no address
  const why = engine.text ? ` (${oneLine(engine.text)})` : '';
  if (engine.state === 'connected') {
    const isLimited = engine.limit < MAX_WORKERS;
    const workers = isLimited
      ? `${formatCount(there)} of at most ${plural(engine.limit, 'worker')}`
      : plural(there, 'worker');
    return `${where} · ${workers}${engine.n_places > 0 ? ` on ${plural(engine.n_places, 'host')}` : ''}${why}`;
  }
  if (engine.state === 'connecting') return `${where} · connecting${why}`;
  return `${where} · not reachable since ${formatClock(engine.since, now)}${why}, trying`;
}

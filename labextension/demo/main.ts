// The queue view with a fake farm: npm run demo, then open demo/index.html. `?host=widget&width=900&queued=50`.

import type { Host } from '../src/link/host';
import { FarmState, VIEW_PROTOCOL } from '../src/link/messages';
import type { FarmStatus } from '../src/link/messages';
import { QueueView } from '../src/queue/view';
import { FakeFarm } from './fake-farm';

const options = new URLSearchParams(location.search);
const kind = options.get('host') === 'widget' ? 'widget' : 'sidebar';
const node = document.getElementById('queue')!;
node.style.width = `${options.get('width') ?? (kind === 'widget' ? 900 : 260)}px`;
if (kind === 'sidebar') node.style.height = `${options.get('height') ?? 700}px`;

const queued = Number(options.get('queued') ?? 100_000);
const farm = new FakeFarm({ queued, rate: Number(options.get('rate') ?? 10), wall: Date.now() / 1000 - 70 });

const host: Host = {
  kind,
  ask: question => {
    if (question.ask === 'watch') setTimeout(() => view.receive(farm.snapshot()));
  },
  command: async (_, command) => {
    const answer = farm.command(command);
    view.receive(farm.step(0));
    return answer;
  },
  details: async (_, taskid, _known, isWithSource) => farm.details(taskid, isWithSource),
  storeBytes: async () => 1_234_000_000,
  goToCell: async () => false
};

const view = new QueueView(node, host);

function setState(state: FarmState, message = ''): void {
  const status: FarmStatus = { name: farm.name, state, message, identity: 'demo' };
  view.receive({ type: 'farms', farms: [status], protocol: VIEW_PROTOCOL, version: '0' });
}

setState(FarmState.LIVE);
view.show(farm.name);
setTimeout(() => {
  // begin with a full minute of history
  for (let at = 0; at < 350 && queued > 0; at++) view.receive(farm.step(0.2));
  setInterval(() => view.receive(farm.step(0.2)), 200);
}, 100);

Object.assign(window, { farm, view, setState });

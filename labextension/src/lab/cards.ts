// Cards of tasks and of groups, drawn live in the outputs of notebooks.

import type { JupyterFrontEndPlugin } from '@jupyterlab/application';
import { IRenderMimeRegistry } from '@jupyterlab/rendermime';

import { CardDesk } from '../card/desk';
import { LiveCard } from '../card/live-card';
import { LiveGroup } from '../card/live-group';
import { CARD_TYPE, GROUP_TYPE } from '../link/messages';
import { addCards } from './card-renderer';
import { ITaskFarms } from './tokens';

export const cards: JupyterFrontEndPlugin<void> = {
  id: 'taskfc-ext:cards',
  description: 'Draws the cards of tasks from the state of their farm.',
  autoStart: true,
  requires: [ITaskFarms, IRenderMimeRegistry],
  activate: (_app, farms: ITaskFarms, rendermime: IRenderMimeRegistry) => {
    const desk = new CardDesk(farms.link, farms.queues);
    addCards(rendermime, CARD_TYPE, host => new LiveCard(desk, host));
    addCards(rendermime, GROUP_TYPE, host => new LiveGroup(desk, host));
  }
};

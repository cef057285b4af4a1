// The plugins of JupyterLab, registered.

import { cards } from './lab/cards';
import { commands } from './lab/commands';
import { notifications } from './lab/notifications';
import { running } from './lab/running';
import { keptTables } from './lab/saved-table';
import { sidebar } from './lab/sidebar';
import { statusBar } from './lab/status-bar';

export default [sidebar, commands, statusBar, running, notifications, keptTables, cards];

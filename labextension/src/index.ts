import { commands } from './commands';
import { keptTables } from './kept';
import { notifications } from './notify';
import { running } from './running';
import { sidebar } from './sidebar';
import { statusBar } from './status';

export default [sidebar, commands, statusBar, running, notifications, keptTables];

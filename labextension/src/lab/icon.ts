// The icon of tasks in JupyterLab.

import { LabIcon } from '@jupyterlab/ui-components';

/** A queue of tasks, the first of which runs. */
export const tasksIcon = new LabIcon({
  name: 'taskfc-ext:tasks',
  svgstr: `<svg xmlns="http://www.w3.org/2000/svg" width="16" viewBox="0 0 24 24">
    <g class="jp-icon3" fill="#616161">
      <path d="M3 4v7l6-3.5z"/>
      <path d="M11 6h10v3H11zM3 13h18v2.5H3zM3 18h18v2.5H3z"/>
    </g>
  </svg>`
});

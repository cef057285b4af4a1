// The widget: what anywidget calls for each view of a model.

import { QueueView } from './queue/view';

export default { render: () => void QueueView };

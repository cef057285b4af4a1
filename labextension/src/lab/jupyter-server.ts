// The connection to the Jupyter server through JupyterLab's own.

import { URLExt } from '@jupyterlab/coreutils';
import { ServerConnection } from '@jupyterlab/services';

import { API } from '../link/server';
import type { Server } from '../link/server';

/** Make a connection that uses this page's credentials and base URL. */
export function jupyterServer(settings = ServerConnection.makeSettings()): Server {
  return {
    request(path: string, body?: string): Promise<Response> {
      const init: RequestInit = body === undefined ? { method: 'GET' } : { method: 'POST', body };
      return ServerConnection.makeRequest(`${URLExt.join(settings.baseUrl, API)}${path}`, init, settings);
    },
    socket(): WebSocket {
      const url = URLExt.join(settings.wsUrl, API, 'watch');
      const token = settings.appendToken && settings.token ? `?token=${encodeURIComponent(settings.token)}` : '';
      return new settings.WebSocket(url + token);
    }
  };
}

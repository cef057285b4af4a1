// Requests to the Jupyter server: its addresses, and a connection that has the page's credentials.

/** Path of the extension, below the base URL. */
export const API = 'taskfc/api/';

// a little longer than the server's own time-out for a controller, so that its message arrives
const ANSWER_WITHIN_MS = 15_000;

/** A connection to the server: the page's own `fetch`, JupyterLab's, or a fake in tests. */
export interface Server {
  /** Send a GET to `taskfc/api/PATH`, or a POST if there is a body. Rejects if there is no answer at all. */
  request(path: string, body?: string): Promise<Response>;
  /** Open the WebSocket `taskfc/api/watch`. */
  socket(): WebSocket;
}

/** The address of a page's server. */
export interface ServerAddress {
  readonly baseUrl: string;
  readonly token: string;
}

/** Return the path for commands to a farm. */
export function farmPath(farm: string): string {
  return `farms/${encodeURIComponent(farm)}`;
}

/** Return the path for the details of a task. `known`: the version of its outputs that the page has. */
export function taskPath(farm: string, taskid: number, known = ''): string {
  const query = known ? `?known=${encodeURIComponent(known)}` : '';
  return `${farmPath(farm)}/tasks/${taskid}${query}`;
}

/** Return the address of the Jupyter server that served this page; `null` if another server did. */
export function addressOfPage(page: Document = document): ServerAddress | null {
  try {
    const config: unknown = JSON.parse(page.getElementById('jupyter-config-data')?.textContent ?? '');
    if (typeof config !== 'object' || config === null || !('baseUrl' in config)) return null;
    const token = 'token' in config ? String(config.token ?? '') : '';
    return { baseUrl: String(config.baseUrl).replace(/\/?$/, '/'), token };
  } catch {
    return null;
  }
}

/** Return a connection that sends the credentials of the page. */
export function serverAt({ baseUrl, token }: ServerAddress, cookies: () => string = () => document.cookie): Server {
  const headersOf = (isCommand: boolean): Record<string, string> => {
    const cookie = isCommand ? /(?:^|; )_xsrf=([^;]*)/.exec(cookies())?.[1] : undefined;
    return {
      ...(isCommand && { 'Content-Type': 'application/json' }),
      ...(cookie && { 'X-XSRFToken': decodeURIComponent(cookie) }),
      ...(token && { Authorization: `token ${token}` })
    };
  };
  return {
    request(path: string, body?: string): Promise<Response> {
      const isCommand = body !== undefined;
      return fetch(`${baseUrl}${API}${path}`, {
        ...(isCommand && { method: 'POST', body }),
        credentials: 'same-origin',
        cache: 'no-store',
        headers: headersOf(isCommand),
        signal: AbortSignal.timeout(ANSWER_WITHIN_MS)
      });
    },
    socket(): WebSocket {
      const url = new URL(`${baseUrl}${API}watch`, location.href);
      url.protocol = url.protocol.replace('http', 'ws');
      if (token) url.searchParams.set('token', token);
      return new WebSocket(url);
    }
  };
}

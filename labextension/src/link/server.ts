// The Jupyter server's part, as those in a page ask it: what carries requests to it, and where things are there.

/** Where it is, below the base URL. */
export const API = 'taskfc/api/';

const ANSWER_WITHIN_MS = 15_000; // a little longer than the server waits for a controller, which then says so

/** What carries it: a page's own `fetch`, JupyterLab's connection, a stand-in under test. */
export interface Server {
  /** Ask `taskfc/api/PATH`; with a body, have something done. Rejects when there is no answer at all. */
  request(path: string, body?: string): Promise<Response>;
  /** Open the WebSocket `taskfc/api/watch`. */
  socket(): WebSocket;
}

/** The server of a page, as far as the page says where it is. */
export interface PageServer {
  readonly baseUrl: string;
  readonly token: string;
}

/** Where commands to a farm go. */
export function farmPath(farm: string): string {
  return `farms/${encodeURIComponent(farm)}`;
}

/** Where everything about a task is. `known`: the version of its outputs that the page has. */
export function taskPath(farm: string, taskid: number, known = ''): string {
  const query = known ? `?known=${encodeURIComponent(known)}` : '';
  return `${farmPath(farm)}/tasks/${taskid}${query}`;
}

/** Return the Jupyter server that this page is from; `null`: it is from something else. */
export function serverOfPage(page: Document = document): PageServer | null {
  try {
    const config: unknown = JSON.parse(page.getElementById('jupyter-config-data')?.textContent ?? '');
    if (typeof config !== 'object' || config === null || !('baseUrl' in config)) return null;
    const token = 'token' in config ? String(config.token ?? '') : '';
    return { baseUrl: String(config.baseUrl).replace(/\/?$/, '/'), token };
  } catch {
    return null;
  }
}

/** Return what carries requests and a WebSocket with the credentials of the page. */
export function carrierOf({ baseUrl, token }: PageServer, cookies: () => string = () => document.cookie): Server {
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

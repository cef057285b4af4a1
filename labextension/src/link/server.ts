// Requests to the Jupyter server: its addresses, and a connection that has the page's credentials.

import type { FarmDetails } from './messages';

/** Path of the extension, below the base URL. */
export const API = 'taskfc/api/';

/** Message for users of a server that does not have the extension. */
export const NOT_INSTALLED =
  'This Jupyter server does not know of task farms. ' +
  "Install taskfc-ext into the server's environment, and restart the server; " +
  "if it is installed there, see the server's log.";

// a little longer than the server's own time-out for a controller, so that its message arrives
const ANSWER_WITHIN_MS = 15_000;

/** A connection to the server: the page's own `fetch`, JupyterLab's, or a fake in tests. */
export interface Server {
  /** Send a GET to `taskfc/api/PATH`, or a POST if there is a body. Rejects if there is no answer at all. */
  request(path: string, body?: string): Promise<Response>;
  /** Open the WebSocket `taskfc/api/watch`. */
  socket(): WebSocket;
}

/** The server did not do what was asked; `message` is for users. */
export class RequestError extends Error {
  /** @param status of the answer; 0: there was no answer, and the request may be repeated. */
  constructor(
    message: string,
    readonly status: number
  ) {
    super(message);
  }
}

/**
 * Make a request and return its answer. Rejects with a `RequestError`, or with another `Error` if a command has no
 * answer: it may have taken effect, so it must not be repeated. The messages of both are for users.
 */
export async function request<Answer>(server: Server, path: string, body?: string): Promise<Answer> {
  try {
    const response = await server.request(path, body);
    if (!response.ok) throw new RequestError(await readProblem(response), response.status);
    return (await response.json()) as Answer;
  } catch (error) {
    if (error instanceof RequestError) throw error;
    const problem = 'The Jupyter server does not answer.';
    if (body === undefined) throw new RequestError(`${problem} Try again later.`, 0);
    throw new Error(`${problem} Check whether the command took effect before you repeat it.`);
  }
}

/** Return the message of a refusal; if it has none, one about its status. */
async function readProblem(response: Response): Promise<string> {
  const answer: unknown = await response.json().catch(() => null);
  const message = typeof answer === 'object' && answer !== null && 'message' in answer ? String(answer.message) : '';
  if (message) return message;
  if (response.status === 404) return NOT_INSTALLED;
  return `The Jupyter server refused the request (HTTP ${response.status}).`;
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

/** Return the path for the details of a task, see `Host.details`. */
export function taskPath(farm: string, taskid: number, known = '', isWithSource = false): string {
  const parts = [known && `known=${encodeURIComponent(known)}`, isWithSource && 'source=1'].filter(Boolean);
  return `${farmPath(farm)}/tasks/${taskid}${parts.length > 0 ? `?${parts.join('&')}` : ''}`;
}

/** Return the path for the `n` newest tasks in a state. */
export function tasksPath(farm: string, state: string, n: number): string {
  return `${farmPath(farm)}/tasks?state=${state}&n=${n}`;
}

/** Return the size of a farm's store in bytes; `null` if the server does not answer. */
export async function askStoreBytes(server: Server, farm: string): Promise<number | null> {
  const details = await request<FarmDetails>(server, farmPath(farm)).catch(() => null);
  return details?.store_bytes ?? null;
}

/** Return the address of the Jupyter server that served this page; `null` if another server did. */
export function addressOfPage(page: Document = document): ServerAddress | null {
  const config = configOf(page);
  if (!('baseUrl' in config)) return null;
  const token = 'token' in config ? String(config.token ?? '') : '';
  return { baseUrl: String(config.baseUrl).replace(/\/?$/, '/'), token };
}

/** Return whether a page in the background may close its connection while nothing runs: a setting of the server. */
export function mayRest(page: Document): boolean {
  const config = configOf(page);
  return !('taskfcStaysConnected' in config);
}

/** Return the settings that the Jupyter server has put into the page; empty if another server made it. */
function configOf(page: Document): object {
  try {
    const config: unknown = JSON.parse(page.getElementById('jupyter-config-data')?.textContent ?? '');
    return typeof config === 'object' && config !== null ? config : {};
  } catch {
    return {};
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

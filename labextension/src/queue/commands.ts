// How commands reach a farm: through the server extension where it is there, else through the kernel.

import type { Host } from './host';
import { KernelPath, terminalFor } from './kernel-path';
import type { AnyCommand, CommandAnswer, Farms, TaskDetails } from './messages';

const ANSWER_WITHIN_MS = 15_000; // a little longer than the server waits for a controller, which then says so

// a farm that was started since the list was made; a server without the extension is not asked again
const LIST_AGAIN_AFTER_MS = 10_000;

const NO_ANSWER = 'The Jupyter server has not answered: look whether it is done before doing it again.';

/** The page's server, as far as its page says where it is. */
export interface Server {
  readonly baseUrl: string;
  readonly token: string;
}

/** Return the Jupyter server that this page is from; `null`: it is from something else. */
export function serverOfPage(page: Document = document): Server | null {
  try {
    const config: unknown = JSON.parse(page.getElementById('jupyter-config-data')?.textContent ?? '');
    if (typeof config !== 'object' || config === null || !('baseUrl' in config)) return null;
    const token = 'token' in config ? String(config.token ?? '') : '';
    return { baseUrl: String(config.baseUrl).replace(/\/?$/, '/'), token };
  } catch {
    return null;
  }
}

/** The server cannot be asked about this, but perhaps the kernel. */
class NotHere extends Error {}

export class ServerPath {
  private farms: Promise<Farms | null> | null = null;
  private listedAt = 0;

  constructor(
    private readonly server: Server,
    private readonly cookies: () => string = () => document.cookie,
    private readonly now: () => number = () => performance.now()
  ) {}

  /** It is there, and this farm of it is the one that is meant. */
  async has(farm: string, identity: string): Promise<boolean> {
    // who does not say which processes are meant could mean those of another machine
    if (!identity) return false;
    const isOld = this.farms !== null && this.now() - this.listedAt > LIST_AGAIN_AFTER_MS;
    const listed = await this.list(false);
    const isIt = (list: Farms | null): boolean =>
      list?.farms.some(status => status.name === farm && status.identity === identity) ?? false;
    if (isIt(listed) || listed === null || !isOld) return isIt(listed);
    return isIt(await this.list(true));
  }

  command(farm: string, command: AnyCommand): Promise<CommandAnswer> {
    const cookie = /(?:^|; )_xsrf=([^;]*)/.exec(this.cookies())?.[1];
    const headers = {
      'Content-Type': 'application/json',
      ...(cookie && { 'X-XSRFToken': decodeURIComponent(cookie) })
    };
    return this.fetch(`farms/${encodeURIComponent(farm)}`, { method: 'POST', headers, body: JSON.stringify(command) });
  }

  details(farm: string, taskid: number, known?: string): Promise<TaskDetails> {
    const query = known ? `?known=${encodeURIComponent(known)}` : '';
    return this.fetch(`farms/${encodeURIComponent(farm)}/tasks/${taskid}${query}`);
  }

  private list(isAnew: boolean): Promise<Farms | null> {
    if (this.farms === null || isAnew) {
      this.listedAt = this.now();
      this.farms = this.fetch<Farms>('farms').catch(() => null);
    }
    return this.farms;
  }

  private async fetch<Answer>(path: string, options: RequestInit = {}): Promise<Answer> {
    const { baseUrl, token } = this.server;
    const headers = {
      ...(options.headers as Record<string, string>),
      ...(token && { Authorization: `token ${token}` })
    };
    const signal = AbortSignal.timeout(ANSWER_WITHIN_MS);
    let response: Response;
    try {
      const url = `${baseUrl}taskfc/api/${path}`;
      response = await fetch(url, { credentials: 'same-origin', cache: 'no-store', ...options, headers, signal });
    } catch (error) {
      // a command may have been heard before the connection broke, and a retry of it would run tasks twice
      if (options.method === 'POST') throw new Error(NO_ANSWER);
      throw new NotHere(String(error));
    }
    if ([403, 404, 409].includes(response.status)) throw new NotHere(response.statusText);
    if (!response.ok) throw new Error(await reasonOf(response));
    return (await response.json()) as Answer;
  }
}

async function reasonOf(response: Response): Promise<string> {
  const told: unknown = await response.json().catch(() => null);
  const message = typeof told === 'object' && told !== null && 'message' in told ? String(told.message) : '';
  return message || `the Jupyter server answered ${response.status} ${response.statusText}`.trim();
}

// a page asks once whether its server has the extension, however many views it has
let ofPage: ServerPath | null | undefined;

/** The way through the server of this page; `null`: it has none. */
export function serverPathOfPage(): ServerPath | null {
  if (ofPage === undefined) {
    const server = serverOfPage();
    ofPage = server && new ServerPath(server);
  }
  return ofPage;
}

/** The notebook does more than the farm: it sends its modules as they are now, and its names follow the new tasks. */
function isOfNotebook(command: AnyCommand): boolean {
  return command.do === 'retry' || command.do === 'retry-failed';
}

/** The one path of a view: whatever can be asked is asked here. */
export class CommandPath implements Pick<Host, 'command' | 'details'> {
  /** @param identityOf the processes of a farm that the view shows; empty while unknown. */
  constructor(
    private readonly server: ServerPath | null,
    private readonly kernel: KernelPath,
    private readonly identityOf: (farm: string) => string
  ) {}

  command(farm: string, command: AnyCommand, say?: (text: string) => void): Promise<CommandAnswer> {
    const meant = { ...command, identity: command.identity || this.identityOf(farm) };
    const askKernel = (): Promise<CommandAnswer> => this.kernel.command(meant, () => say?.(terminalFor(farm, command)));
    if (isOfNotebook(command) && this.kernel.isThere()) return askKernel();
    return this.through(farm, server => server.command(farm, meant), askKernel);
  }

  details(farm: string, taskid: number, known?: string): Promise<TaskDetails> {
    return this.through(
      farm,
      server => server.details(farm, taskid, known),
      () => this.kernel.details(farm, taskid, known)
    );
  }

  private async through<Answer>(
    farm: string,
    ask: (server: ServerPath) => Promise<Answer>,
    askKernel: () => Promise<Answer>
  ): Promise<Answer> {
    if (this.server !== null && (await this.server.has(farm, this.identityOf(farm)))) {
      try {
        return await ask(this.server);
      } catch (error) {
        if (!(error instanceof NotHere)) throw error;
      }
    }
    return askKernel();
  }
}

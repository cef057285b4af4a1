// How commands reach a farm: through the server extension where it is there, else through the kernel.

import type { Host } from './host';
import { KernelPath, terminalFor } from './kernel-path';
import type { AnyCommand, CommandAnswer, Farms, TaskDetails } from './messages';
import { carrierOf, farmPath, serverOfPage, taskPath } from './server';
import type { Server } from './server';

// a farm that was started since the list was made, a server that is back; one without the extension is not asked again
const LIST_AGAIN_AFTER_MS = 10_000;

const NO_ANSWER = 'The Jupyter server has not answered: look whether it is done before doing it again.';

/** The server cannot be asked about this, but perhaps the kernel. */
class NotHere extends Error {
  constructor(
    message: string,
    readonly status = 0
  ) {
    super(message);
  }
}

export class ServerPath {
  private farms: Promise<Farms | null> | null = null;
  private listedAt = 0;
  private isAbsent = false;

  constructor(
    private readonly server: Server,
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
    if (isIt(listed) || this.isAbsent || !isOld) return isIt(listed);
    return isIt(await this.list(true));
  }

  command(farm: string, command: AnyCommand): Promise<CommandAnswer> {
    return this.ask(farmPath(farm), JSON.stringify(command));
  }

  details(farm: string, taskid: number, known?: string): Promise<TaskDetails> {
    return this.ask(taskPath(farm, taskid, known));
  }

  private list(isAnew: boolean): Promise<Farms | null> {
    if (this.farms === null || isAnew) {
      this.listedAt = this.now();
      this.farms = this.ask<Farms>('farms').catch((error: unknown) => {
        this.isAbsent = error instanceof NotHere && error.status === 404;
        return null;
      });
    }
    return this.farms;
  }

  private async ask<Answer>(path: string, body?: string): Promise<Answer> {
    let response: Response;
    try {
      response = await this.server.request(path, body);
    } catch (error) {
      // a command may have been heard before the connection broke, and a retry of it would run tasks twice
      if (body !== undefined) throw new Error(NO_ANSWER);
      throw new NotHere(String(error));
    }
    if ([403, 404, 409].includes(response.status)) throw new NotHere(response.statusText, response.status);
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
    ofPage = server && new ServerPath(carrierOf(server));
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

// The path of a view's commands: through the server extension if the server has it, else through the kernel.

import type { Host } from './host';
import { KernelPath, terminalFor } from './kernel-path';
import type { AnyCommand, CommandAnswer, Farms, TaskDetails } from './messages';
import { addressOfPage, askStoreBytes, farmPath, request, RequestError, serverAt, taskPath } from './server';
import type { Server } from './server';

// the list may lack a farm that was started since; a server without the extension is not asked again
const LIST_AGAIN_AFTER_MS = 10_000;

/** Whether the server cannot handle a request that the kernel may be able to handle. */
function isForKernel(error: unknown): boolean {
  return error instanceof RequestError && [0, 403, 404, 409].includes(error.status);
}

export class ServerPath {
  private farms: Promise<Farms | null> | null = null;
  private listedAt = 0;
  private isAbsent = false;

  constructor(
    private readonly server: Server,
    private readonly now: () => number = () => performance.now()
  ) {}

  /** Whether the server has the extension and knows exactly these processes of the farm. */
  async has(farm: string, identity: string): Promise<boolean> {
    // without an identity, a farm of this name on another machine could be meant
    if (!identity) return false;
    const isOld = this.farms !== null && this.now() - this.listedAt > LIST_AGAIN_AFTER_MS;
    const listed = await this.list(false);
    const isIt = (list: Farms | null): boolean =>
      list?.farms.some(status => status.name === farm && status.identity === identity) ?? false;
    if (isIt(listed) || this.isAbsent || !isOld) return isIt(listed);
    return isIt(await this.list(true));
  }

  command(farm: string, command: AnyCommand): Promise<CommandAnswer> {
    return request(this.server, farmPath(farm), JSON.stringify(command));
  }

  details(farm: string, taskid: number, known?: string, isWithSource?: boolean): Promise<TaskDetails> {
    return request(this.server, taskPath(farm, taskid, known, isWithSource));
  }

  storeBytes(farm: string): Promise<number | null> {
    return askStoreBytes(this.server, farm);
  }

  private list(isForced: boolean): Promise<Farms | null> {
    if (this.farms === null || isForced) {
      this.listedAt = this.now();
      this.farms = request<Farms>(this.server, 'farms').catch((error: unknown) => {
        this.isAbsent = error instanceof RequestError && error.status === 404;
        return null;
      });
    }
    return this.farms;
  }
}

// shared by all views of a page, so that the server is asked once whether it has the extension
let ofPage: ServerPath | null | undefined;

/** Return the path through the server of this page; `null` if it has no server. */
export function serverPathOfPage(): ServerPath | null {
  if (ofPage === undefined) {
    const address = addressOfPage();
    ofPage = address && new ServerPath(serverAt(address));
  }
  return ofPage;
}

/** Whether the kernel does more than the farm: a retry sends the modules as they are now, and updates names. */
function needsKernel(command: AnyCommand): boolean {
  return command.do === 'retry' || command.do === 'retry-failed';
}

/** The path of all commands and questions of a view. */
export class CommandPath implements Pick<Host, 'command' | 'details' | 'storeBytes'> {
  /** @param identityOf returns the identity of the farm's processes that the view shows; empty if unknown. */
  constructor(
    private readonly server: ServerPath | null,
    private readonly kernel: KernelPath,
    private readonly identityOf: (farm: string) => string
  ) {}

  command(farm: string, command: AnyCommand, notify?: (text: string) => void): Promise<CommandAnswer> {
    const identified = { ...command, identity: command.identity || this.identityOf(farm) };
    const advise = (): void => notify?.(terminalFor(farm, command));
    const askKernel = (): Promise<CommandAnswer> => this.kernel.command(identified, advise);
    if (needsKernel(command) && this.kernel.isAlive()) return askKernel();
    return this.through(farm, server => server.command(farm, identified), askKernel);
  }

  details(farm: string, taskid: number, known?: string, isWithSource?: boolean): Promise<TaskDetails> {
    return this.through(
      farm,
      server => server.details(farm, taskid, known, isWithSource),
      () => this.kernel.details(farm, taskid, known, isWithSource)
    );
  }

  /** The kernel is not asked: the size is shown only where it comes at once. */
  async storeBytes(farm: string): Promise<number | null> {
    const isThere = this.server !== null && (await this.server.has(farm, this.identityOf(farm)));
    return isThere ? this.server!.storeBytes(farm) : null;
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
        if (!isForKernel(error)) throw error;
      }
    }
    return askKernel();
  }
}

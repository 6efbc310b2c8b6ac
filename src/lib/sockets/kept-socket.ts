/**
 * A listening socket whose file is made anew when somebody has removed it: unix(7) lets nobody connect without it.
 *
 * Looks now and then. What another process has put in its place is that one's. Connections that there are stay as they are.
 */
import { lstat } from "node:fs/promises";
import type { Logger } from "../../contracts/logger.ts";
import { type BoundSocket, bindUnixSocket } from "./unix-listener.ts";

const LOOK_MS = 2_000;

export class KeptSocket {
  /** Why it is not there, as a sentence; "" = it is there. */
  trouble = "";
  private bound: BoundSocket | undefined;
  private unlisten: () => void = () => undefined;
  private timer: NodeJS.Timeout | undefined;
  private looking: Promise<void> = Promise.resolve();
  private closed = false;

  /** @param listen at a private path, beside what listens already; returns what stops that and ends no connection */
  constructor(
    private readonly path: string,
    private readonly listen: (privatePath: string) => Promise<() => void>,
    private readonly logger: Logger,
  ) {}

  /** @throws BlazarError HostResource, as {@link bindUnixSocket} */
  async open(): Promise<void> {
    await this.bind();
    this.timer = setInterval(() => {
      this.looking = this.looking.then(() => this.look());
    }, LOOK_MS).unref();
  }

  /** Removes the file, unless another process has put its own there. Close the listener first. */
  async remove(): Promise<void> {
    this.closed = true;
    clearInterval(this.timer);
    await this.looking;
    await this.bound?.remove();
  }

  private async bind(): Promise<void> {
    let unlisten: (() => void) | undefined;
    const listen = async (path: string): Promise<void> => {
      unlisten = await this.listen(path);
    };
    try {
      this.bound = await bindUnixSocket(this.path, listen);
    } catch (error) {
      unlisten?.();
      throw error;
    }
    this.unlisten();
    this.unlisten = unlisten ?? this.unlisten;
  }

  private async look(): Promise<void> {
    if (this.closed) return;
    const isGone = await lstat(this.path).then(
      () => false,
      (error: NodeJS.ErrnoException) => error.code === "ENOENT",
    );
    if (!isGone || this.closed) {
      if (!isGone) this.trouble = "";
      return;
    }
    const { path, logger } = this;
    try {
      await this.bind();
      this.trouble = "";
      logger.warn({ path }, "a socket's file was removed: it was made anew");
    } catch (err) {
      if (this.trouble === "")
        logger.error({ err, path }, "a socket's file was removed and cannot be made anew; it is tried again");
      this.trouble = `the socket ${path} was removed and cannot be made anew`;
    }
  }
}

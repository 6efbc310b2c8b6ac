/**
 * The port of a guest's agent, on the host's side: a unix socket that takes one connection at a time.
 *
 * It belongs to a VM and ends with it.
 */
import { blazarError } from "../../contracts/errors.ts";
import type { ByteLink } from "../../contracts/vm.ts";
import { connectUnix, readingInPlace } from "../../lib/sockets/unix-socket.ts";
import { AgentLink } from "./agent-link.ts";

export class AgentPort {
  private taken = false;
  private link: ByteLink | undefined;

  constructor(
    private readonly path: string,
    private readonly vm: string,
  ) {}

  /** Throws IllegalTransition while there is a link, LinkClosed, Cancelled. */
  async connect(signal: AbortSignal | undefined): Promise<ByteLink> {
    if (this.taken) {
      const reason = "its port is in use, and takes one connection at a time";
      throw blazarError("IllegalTransition", "connect to the guest's agent", reason, { subject: this.vm });
    }
    this.taken = true;
    try {
      let link: AgentLink | undefined;
      const reading = readingInPlace((bytes) => link?.receive(bytes));
      const socket = await connectUnix(this.path, signal, reading);
      link = new AgentLink(socket, () => this.release());
      this.link = link;
      return link;
    } catch (error) {
      this.taken = false;
      throw error;
    }
  }

  /** Closes the link, if there is one. */
  close(): void {
    this.link?.close();
  }

  private release(): void {
    this.link = undefined;
    this.taken = false;
  }
}

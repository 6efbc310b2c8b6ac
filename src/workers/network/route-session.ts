/**
 * A conversation with the kernel about one network namespace, and the errors of what it refuses.
 *
 * The thread is in the namespace only while the socket is opened. For workers only.
 */
import { constants } from "node:os";
import { type BlazarError, blazarError } from "../../contracts/errors.ts";
import { NetlinkExchange } from "../../protocol/netlink/exchange.ts";
import { getLink, type LinkRecord, linkOf } from "../../protocol/netlink/links.ts";
import type { NetlinkRequest } from "../../protocol/netlink/writer.ts";
import { describeErrno } from "../libc/libc.ts";
import type { NetworkNamespace } from "./namespaces.ts";
import { RouteSocket } from "./netlink-socket.ts";

/** A request, and the words for its failure. */
export interface Step {
  /** In the infinitive. */
  readonly what: string;
  readonly request: NetlinkRequest;
  /** Errnos that are no failure. */
  readonly fine?: readonly number[];
}

export class RouteSession {
  readonly exchange: NetlinkExchange;

  private constructor(private readonly socket: RouteSocket) {
    this.exchange = new NetlinkExchange(socket);
  }

  /** Throws HostResource. */
  static in(namespace: NetworkNamespace): RouteSession {
    return new RouteSession(namespace.run(() => RouteSocket.open()));
  }

  /** Does all of the steps in one message, in order. Throws HostResource naming the first that failed. */
  do(steps: readonly Step[]): void {
    const answers = this.exchange.askAll(steps.map(({ request }) => request));
    for (const [index, { errno, text }] of answers.entries()) {
      const { what = "", fine = [] } = steps[index] ?? {};
      if (errno !== 0 && !fine.includes(errno)) throw refused(what, errno, text);
    }
  }

  /** Does a step that takes the kernel long; the thread has time for others meanwhile. Throws HostResource. */
  async doLater({ what, request }: Step): Promise<void> {
    const { errno, text } = await this.exchange.askLater(request, (bytes) => this.socket.sendLater(bytes));
    if (errno !== 0) throw refused(what, errno, text);
  }

  /** A link by its name; undefined if there is none. Throws HostResource. */
  link(name: string): LinkRecord | undefined {
    const { answer, message } = this.exchange.get(getLink(name));
    if (answer.errno === constants.errno.ENODEV) return undefined;
    if (answer.errno !== 0 || message === undefined)
      throw refused("look at a link", answer.errno, answer.text);
    return linkOf(message);
  }

  close(): void {
    this.socket.close();
  }
}

function refused(operation: string, errno: number, text: string | undefined): BlazarError {
  const reason = text === undefined ? describeErrno(errno) : `${text} (${describeErrno(errno)})`;
  return blazarError("HostResource", operation, reason);
}

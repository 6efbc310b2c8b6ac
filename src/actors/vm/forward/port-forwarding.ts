/**
 * Port-forward of one pod: connections to `localhost` in its namespace go to servers in its guest.
 *
 * How many there may be is bounded, for the pod and for the node. A connection beyond that is reset, as is one that comes
 * while there is no link to the guest. Where the host cannot do it, pods start all the same, and it is told once.
 */
import type { Deadlines } from "../../../contracts/deadlines.ts";
import { BlazarError } from "../../../contracts/errors.ts";
import type { Logger } from "../../../contracts/logger.ts";
import type { NetworkedPod } from "../../../contracts/network.ts";
import type { ForwardedConnection, PortForward, PortForwards } from "../../../contracts/port-forward.ts";
import { type DialLink, ForwardedStream } from "./forwarded-stream.ts";

/** Connections of one pod. */
export const MAX_OF_A_POD = 1000;
/** Connections of all pods of the node: each may keep 64 KiB that were read at once, and its windows. */
export const MAX_OF_THE_NODE = 2000;

/**
 * Windows by how many connections the pod has. Their sum is less than what a link lets wait in either direction, so no number
 * of connections breaks it: 8 MiB in the agent (guest/agent/link/channel.ts), 16 MiB on the host.
 */
const WINDOWS: readonly { readonly below: number; readonly bytes: number }[] = [
  { below: 8, bytes: 128 * 1024 },
  { below: 128, bytes: 16 * 1024 },
  { below: MAX_OF_A_POD, bytes: 2 * 1024 },
];

/** What all pods share. */
export class ForwardingNode {
  /** Connections of all pods. */
  connections = 0;
  private told = false;

  constructor(
    readonly forwards: PortForwards,
    readonly deadlines: Pick<Deadlines, "guestRequest">,
  ) {}

  /** The same for each pod where it is the host that lacks something. */
  unavailable(error: unknown, logger: Logger): void {
    const host = error instanceof BlazarError && error.code === "DependencyMissing";
    if (host && this.told) return;
    this.told ||= host;
    logger.warn(
      { err: error },
      host ? "no pod of this node has port-forward" : "the pod has no port-forward",
    );
  }
}

export class PortForwarding {
  private readonly open = new Set<ForwardedStream>();
  private listener: Promise<PortForward | undefined> | undefined;
  private full = false;

  /** @param link the link to the guest; throws while there is none */
  constructor(
    private readonly pod: NetworkedPod,
    private readonly node: ForwardingNode,
    private readonly link: () => DialLink,
    private readonly logger: Logger,
  ) {}

  /** Never rejects: a pod without port-forward is a pod. Once only. */
  async start(): Promise<void> {
    const { node, logger } = this;
    this.listener ??= node.forwards
      .open(this.pod, (connection) => this.accept(connection))
      .catch((error: unknown) => {
        node.unavailable(error, logger);
        return undefined;
      });
    await this.listener;
  }

  /** Resets what is open and lets go of the namespace; also while it is being started. May be called again. */
  async close(): Promise<void> {
    const listener = await this.listener;
    listener?.close();
    for (const stream of this.open) stream.reset();
  }

  private accept(connection: ForwardedConnection): void {
    const link = this.liveLink();
    if (link === undefined || this.isFull()) return connection.reset();
    const stream = new ForwardedStream({
      connection,
      link,
      window: this.window(),
      deadlineMs: this.node.deadlines.guestRequest,
      logger: this.logger,
      onOver: () => this.forget(stream),
    });
    this.open.add(stream);
    this.node.connections++;
    void stream.start();
  }

  private forget(stream: ForwardedStream): void {
    if (this.open.delete(stream)) this.node.connections--;
  }

  private window(): number {
    return WINDOWS.find(({ below }) => this.open.size < below)?.bytes ?? 1;
  }

  private isFull(): boolean {
    const full = this.open.size >= MAX_OF_A_POD || this.node.connections >= MAX_OF_THE_NODE;
    if (full && !this.full) {
      const { connections } = this.node;
      this.logger.warn({ ofPod: this.open.size, ofNode: connections }, "too many connections are forwarded");
    }
    this.full ||= full;
    return full;
  }

  private liveLink(): DialLink | undefined {
    try {
      return this.link();
    } catch {
      return undefined;
    }
  }
}

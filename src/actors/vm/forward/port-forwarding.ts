/**
 * Port-forward of one pod: connections to `localhost` in its namespace go to servers in its guest.
 *
 * How many there may be is bounded, for the pod and for the node. Beyond that the one that has been idle for longest makes
 * room, and on a full node the pod that has most; without one the new connection is reset, as is one that comes while there is no
 * link to the guest. A server that
 * never closes would keep what its client has left otherwise: TCP does not tell a half-close from a close.
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

/** A connection that has been idle for so long makes room for a new one, if there is none otherwise. */
export const IDLE_MS = 30_000;

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
  readonly open = new Set<ForwardedStream>();
  /** The same by pod, of those that have some. */
  readonly pods = new Set<ReadonlySet<ForwardedStream>>();
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
    if (link === undefined || !this.hasRoom()) return connection.reset();
    const stream = new ForwardedStream({
      connection,
      link,
      window: this.window(),
      deadlineMs: this.node.deadlines.guestRequest,
      logger: this.logger,
      onOver: () => this.forget(stream),
    });
    this.open.add(stream);
    this.node.open.add(stream);
    this.node.pods.add(this.open);
    void stream.start();
  }

  private forget(stream: ForwardedStream): void {
    this.open.delete(stream);
    this.node.open.delete(stream);
    if (this.open.size === 0) this.node.pods.delete(this.open);
  }

  private window(): number {
    return WINDOWS.find(({ below }) => this.open.size < below)?.bytes ?? 1;
  }

  private hasRoom(): boolean {
    const { open, node } = this;
    if (open.size >= MAX_OF_A_POD) this.makeRoom(open);
    if (node.open.size >= MAX_OF_THE_NODE) this.makeRoom(node.open);
    if (node.open.size >= MAX_OF_THE_NODE) this.takeFromTheLargest();
    return open.size < MAX_OF_A_POD && node.open.size < MAX_OF_THE_NODE;
  }

  private makeRoom(streams: ReadonlySet<ForwardedStream>): void {
    if (!this.full) {
      const { open, node } = this;
      this.logger.warn({ ofPod: open.size, ofNode: node.open.size }, "too many connections are forwarded");
    }
    this.full = true;
    const oldest = oldestOf(streams);
    if (oldest !== undefined && performance.now() - oldest.movedAt >= IDLE_MS) oldest.reset();
  }

  /** Whoever keeps many connections busy must not keep others from a first one. */
  private takeFromTheLargest(): void {
    let largest: ReadonlySet<ForwardedStream> = this.open;
    for (const each of this.node.pods) if (each.size > largest.size) largest = each;
    if (largest.size > this.open.size + 1) oldestOf(largest)?.reset();
  }

  private liveLink(): DialLink | undefined {
    try {
      return this.link();
    } catch {
      return undefined;
    }
  }
}

function oldestOf(streams: ReadonlySet<ForwardedStream>): ForwardedStream | undefined {
  let oldest: ForwardedStream | undefined;
  for (const each of streams) if (oldest === undefined || each.movedAt < oldest.movedAt) oldest = each;
  return oldest;
}

/**
 * Port: connections to `localhost` inside a pod's network namespace, which have to arrive in the guest.
 *
 * containerd serves `kubectl port-forward` by dialling `localhost:port` in the namespace that it has made for the pod (CRI,
 * PortForward). Nobody listens there, because the pod's servers are in the guest.
 */
import type { NetworkedPod } from "./network.ts";

/** One TCP connection that somebody has dialled. It is accepted already; its bytes wait until {@link read}. */
export interface ForwardedConnection {
  /** The family that was dialled: 4 = 127.0.0.1, 6 = ::1. */
  readonly family: 4 | 6;
  /** The port that was dialled. */
  readonly port: number;
  /** Sets the one consumer, first of all. Nothing is called after {@link reset} or `closed`. */
  open(handlers: ForwardHandlers): void;
  /** Takes bytes over; `done` comes when the kernel has them, unless the connection is gone by then. */
  write(bytes: Uint8Array, done: () => void): void;
  /** Ends this direction only, after what was written. `done` as for {@link write}. */
  end(done: () => void): void;
  /** Begins, stops or goes on reading. Bytes come in pieces of at most 64 KiB. */
  read(on: boolean): void;
  /** The other side sees a reset (RST), not an end; idempotent. */
  reset(): void;
}

export interface ForwardHandlers {
  /** A buffer of its own. */
  data(bytes: Uint8Array): void;
  /** The other side sends no more; it may still read. */
  end(): void;
  /** The connection is gone, once: by a failure, or because both directions have ended. */
  closed(error?: Error): void;
}

/** What takes a pod's connections, until it is closed. */
export interface PortForward {
  /** Resets what is open, and takes no more; idempotent. The namespace is as it was before. */
  close(): void;
}

export interface PortForwards {
  /**
   * Takes every TCP connection to 127.0.0.1 and ::1 in the pod's namespace, whatever the port. No other address is touched.
   * @throws BlazarError HostResource (the namespace is gone), DependencyMissing (the host's kernel cannot do it)
   */
  open(pod: NetworkedPod, onConnection: (connection: ForwardedConnection) => void): Promise<PortForward>;
}

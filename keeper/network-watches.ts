/**
 * Watches of network namespaces: a netlink socket in each, which says that something has changed. netlink(7).
 *
 * What has changed is not looked at: the daemon reads it. A burst is told once. A watch belongs to the daemon's connection and
 * ends with it, because its socket keeps the namespace alive.
 */
import * as sys from "sys";
import { failure } from "../native/runtime/check.ts";
import type { EventLoop, Timer, Watch } from "../native/runtime/event-loop.ts";
import { blazarError } from "../src/contracts/errors.ts";
import type { NetworkWatch } from "../src/protocol/keeper/messages.ts";
import { RTMGRP } from "../src/protocol/netlink/constants.ts";
import { insideNamespaceAt } from "./processes/network-namespaces.ts";

const GROUPS = Object.values(RTMGRP).reduce((all, group) => all | group, 0);
/** Changes within this time are one. */
const BURST_MS = 20;
/** More than a node has pods. */
const MOST = 4096;

/** What is read is thrown away. */
const buffer = new ArrayBuffer(4096);

interface Watched {
  readonly path: string;
  readonly fd: number;
  readonly watch: Watch;
  burst: Timer | undefined;
}

export class NetworkWatches {
  private readonly watched = new Map<string, Watched>();

  constructor(
    private readonly loop: EventLoop,
    private readonly onChanged: (id: string) => void,
  ) {}

  /** Again with the same path does nothing, with another one replaces it. Throws HostResource, ResourceExhausted. */
  add({ id, path }: NetworkWatch): void {
    if (this.watched.get(id)?.path === path) return;
    this.remove(id);
    if (this.watched.size >= MOST) {
      const reason = `the keeper watches ${MOST} already`;
      throw blazarError("ResourceExhausted", "watch a network", reason, { subject: id });
    }
    const fd = insideNamespaceAt(path, () => sys.netlinkListen(sys.NETLINK_ROUTE, GROUPS));
    if (fd < 0) throw failure(fd, "HostResource", "watch a network", path);
    const watch = this.loop.watch(fd);
    const watched: Watched = { path, fd, watch, burst: undefined };
    this.watched.set(id, watched);
    watch.setReadable(() => this.read(id, watched));
  }

  remove(id: string): void {
    const watched = this.watched.get(id);
    if (watched === undefined) return;
    this.watched.delete(id);
    watched.burst?.cancel();
    watched.watch.stop();
    sys.close(watched.fd);
  }

  clear(): void {
    for (const id of [...this.watched.keys()]) this.remove(id);
  }

  private read(id: string, watched: Watched): void {
    const count = sys.read(watched.fd, buffer, 0, buffer.byteLength);
    if (count === -sys.EAGAIN) return;
    // ENOBUFS: more has changed than fits into the socket
    watched.burst ??= this.loop.setTimer(BURST_MS, () => {
      watched.burst = undefined;
      this.onChanged(id);
    });
  }
}

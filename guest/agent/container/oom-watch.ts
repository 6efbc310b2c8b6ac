/**
 * Tells at once that the kernel has killed processes of a container for want of memory: cgroup-v2, `memory.events`.
 *
 * The kernel wakes whoever polls the file when a number in it has changed (kernfs), so nothing is polled by time. The
 * number counts kills of any kind: at the container's own limit, at one below it, and of the whole guest.
 */
import * as sys from "sys";
import type { EventLoop, Watch } from "../../../native/runtime/event-loop.ts";
import type { Cgroup } from "./cgroup.ts";

export class OomWatch {
  private readonly cgroup: Cgroup;
  private readonly tell: () => void;
  private readonly descriptor: number;
  private readonly watch: Watch | undefined;
  private kills = 0;

  /** Without a memory controller there is nothing to watch. */
  constructor(loop: EventLoop, cgroup: Cgroup, tell: () => void) {
    this.cgroup = cgroup;
    this.tell = tell;
    this.descriptor = sys.open(`${cgroup.path}/memory.events`, sys.O_RDONLY);
    if (this.descriptor >= 0) this.watch = loop.watchEdges(this.descriptor, () => this.check());
  }

  /** Tells of kills that were not told yet: before the end of a process is told, which the kernel may tell first. */
  check(): void {
    const kills = this.cgroup.oomKills();
    if (kills <= this.kills) return;
    this.kills = kills;
    this.tell();
  }

  /** Whether processes were killed so. */
  get killed(): boolean {
    return this.kills > 0;
  }

  stop(): void {
    this.watch?.stop();
    if (this.descriptor >= 0) sys.close(this.descriptor);
  }
}

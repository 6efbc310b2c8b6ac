/**
 * What every part of the agent may use: the loop, the reaper of children, the link, the log, and what is prepared.
 */
import type { ChildReaper } from "../../native/runtime/child.ts";
import type { EventLoop } from "../../native/runtime/event-loop.ts";
import type { Logger } from "../../native/runtime/log.ts";
import type { Peer } from "../../src/protocol/wire/peer.ts";
import type { Cgroups } from "./container/cgroup.ts";
import type { PreparedChildren } from "./prepared/prepared-child.ts";
import type { PreparedDisks } from "./prepared/prepared-disks.ts";
import type { Images } from "./root/images.ts";
import type { Volumes } from "./volumes/volumes.ts";

export interface AgentContext {
  readonly loop: EventLoop;
  readonly reaper: ChildReaper;
  readonly peer: Peer;
  readonly logger: Logger;
  /** Resolves when the kernel modules for disks are loaded. */
  readonly disksReady: Promise<void>;
  readonly disks: PreparedDisks;
  readonly images: Images;
  readonly children: PreparedChildren;
  readonly cgroups: Cgroups;
  readonly volumes: Volumes;
}

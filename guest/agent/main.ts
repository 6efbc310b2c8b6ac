/**
 * The guest agent: boots the guest, then does what the daemon asks for over the link.
 *
 * Composition only. PID 1 is the runtime's supervisor (native/supervisor.c). The agent is PID 1's child, and PID 1
 * starts it again if it crashes.
 */
import * as sys from "sys";
import { ChildReaper } from "../../native/runtime/child.ts";
import { EventLoop } from "../../native/runtime/event-loop.ts";
import { readText } from "../../native/runtime/files.ts";
import type { MarkStep } from "../../src/protocol/wire/request-steps.ts";
import { bootLink, bootRest, Timeline } from "./boot/boot.ts";
import { powerOff } from "./boot/power-off.ts";
import { Cgroups } from "./container/cgroup.ts";
import { Containers } from "./container/containers.ts";
import { createAgentLogger } from "./link/agent-log.ts";
import { Channel } from "./link/channel.ts";
import { requestHandler } from "./link/requests.ts";
import { Dials } from "./network/dial.ts";
import { PreparedChildren } from "./prepared/prepared-child.ts";
import { PreparedDisks } from "./prepared/prepared-disks.ts";
import { Shells } from "./process/shells.ts";
import { Images } from "./root/images.ts";
import { Sandbox } from "./sandbox/sandbox.ts";
import { sharesOf } from "./sandbox/share.ts";
import { Volumes } from "./volumes/volumes.ts";

const timeline = new Timeline();
const modules = bootLink(timeline);
const logger = createAgentLogger((event) => channel.peer.emit("agent.log", event));
const loop = new EventLoop({ logger });
const reaper = new ChildReaper(loop);
const booted = bootRest(loop, logger, timeline, modules);

let handle: (op: string, params: unknown, mark: MarkStep) => Promise<unknown> = () =>
  Promise.reject(new Error("the agent is not composed yet"));
let hostGone: () => void = () => undefined;
const channel = new Channel({
  loop,
  logger,
  session: readText("/proc/sys/kernel/random/uuid").trim(),
  helloBody: () => ({
    role: "guest",
    agent: BLAZAR_VERSION,
    kernel: sys.uname().release,
    timeline: timeline.steps,
  }),
  onRequest: (op, params, mark) => handle(op, params, mark),
  onDetached: () => hostGone(),
});
const disksReady = booted.everything;
const disks = new PreparedDisks({ loop, logger, disksReady });
const images = new Images({ loop, logger, disksReady });
const ready = { ...booted, everything: disksReady.then(() => images.lookUpSlots()) };
ready.everything.catch(() => undefined);
const children = new PreparedChildren(loop, reaper);
const cgroups = new Cgroups();
const volumes = new Volumes();
const own = { loop, reaper, logger, peer: channel.peer, disksReady };
const context = { ...own, disks, images, children, cgroups, volumes };
const sandbox = new Sandbox(context);
const shares = sharesOf(context);
const containers = new Containers(context, sandbox, {
  exited: (event) => channel.peer.emit("process.exited", event),
  oomKilled: (id) => channel.peer.emit("container.oomKilled", { id }),
});
const shells = new Shells(context, (event) => channel.peer.emit("process.exited", event));
hostGone = () => shells.endAll();
handle = requestHandler({
  sandbox,
  shares,
  volumes,
  containers,
  dials: new Dials(loop, channel.peer),
  shells,
  prepareDisk: (params) => disks.prepare(params),
  prepareImage: (serial) => images.prepare(serial),
  prepareChild: async () => {
    cgroups.prepare();
    await children.prepare();
  },
  ready,
  powerOff: () => powerOff(context, channel),
});

void channel.open().then(() => timeline.mark("port"));
loop.start();

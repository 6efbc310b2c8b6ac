/**
 * The daemon's requests: checks each against the protocol and hands it to the part of the agent that does the work.
 *
 * This is the one table of what the agent can do. GUEST_REQUESTS defines each request and its answer.
 */
import { BlazarError, blazarError } from "../../../src/contracts/errors.ts";
import {
  type DiskPrepare,
  GUEST_ITSELF,
  GUEST_REQUESTS,
  type GuestOp,
  type GuestParams,
  type GuestResult,
} from "../../../src/protocol/guest/messages.ts";
import type { MarkStep } from "../../../src/protocol/wire/request-steps.ts";
import type { Readiness } from "../boot/boot.ts";
import { limitPod } from "../container/cgroup.ts";
import type { Containers } from "../container/containers.ts";
import type { Dials } from "../network/dial.ts";
import type { Shells } from "../process/shells.ts";
import { adjustClock } from "../sandbox/clock-and-entropy.ts";
import type { Sandbox } from "../sandbox/sandbox.ts";
import type { Shares } from "../sandbox/share.ts";
import type { Volumes } from "../volumes/volumes.ts";

export interface RequestTargets {
  readonly sandbox: Sandbox;
  readonly shares: Shares;
  readonly volumes: Volumes;
  readonly containers: Containers;
  readonly dials: Dials;
  readonly shells: Shells;
  readonly prepareDisk: (params: DiskPrepare) => Promise<void>;
  readonly prepareImage: (serial: string) => Promise<void>;
  readonly prepareChild: () => Promise<void>;
  readonly ready: Readiness;
  /** Powers the machine off once the answer has been sent. */
  readonly powerOff: () => void;
}

/** `mark` tells that a step of the answer is over, for whoever waits for it. */
type Handlers = {
  [Op in GuestOp]: (params: GuestParams<Op>, mark: MarkStep) => GuestResult<Op> | Promise<GuestResult<Op>>;
};

/** Requests about the guest and its sandbox; all others are about a container. */
type SandboxOp =
  | "ping"
  | "disk.prepare"
  | "image.prepare"
  | "child.prepare"
  | "clock.adjust"
  | "network.apply"
  | "network.dial"
  | (`${"sandbox" | "share" | "volume"}.${string}` & GuestOp);

type VolumeOp = `volume.${string}` & GuestOp;

/** What a Peer calls for each request. */
export function requestHandler(
  targets: RequestTargets,
): (op: string, params: unknown, mark: MarkStep) => Promise<unknown> {
  const handlers = handlersOf(targets);
  return async (op, params, mark) => {
    if (!isGuestOp(op)) {
      throw blazarError("Unimplemented", "answer a request", "the agent knows no such request", {
        subject: op.slice(0, 64),
      });
    }
    const checked = checkedParams(op, params);
    // A template is taken once a ping has been answered, so the guest must be complete by then. Requests that need a
    // disk wait for the disks' modules by themselves.
    await (op === "ping" ? targets.ready.everything : targets.ready.share);
    return await (handlers[op] as (params: unknown, mark: MarkStep) => unknown)(checked, mark);
  };
}

function isGuestOp(op: string): op is GuestOp {
  return Object.hasOwn(GUEST_REQUESTS, op);
}

function checkedParams(op: GuestOp, params: unknown): unknown {
  try {
    return GUEST_REQUESTS[op].params(params, "params");
  } catch (cause) {
    if (!(cause instanceof BlazarError)) throw cause;
    const { subject, reason } = cause.details;
    throw blazarError("InvalidArgument", `answer ${op}`, reason, { subject, cause });
  }
}

function handlersOf(targets: RequestTargets): Handlers {
  let ending = false;
  const alive = (): void => {
    if (!ending) return;
    throw blazarError("SandboxNotReady", "answer a request", "the sandbox is being shut down");
  };
  const end = (): void => {
    ending = true;
  };
  return {
    ...sandboxHandlers(targets, alive, end),
    ...volumeHandlers(targets),
    ...containerHandlers(targets, alive),
  };
}

/** `alive` throws once `end` has been called. */
function sandboxHandlers(
  { sandbox, shares, containers, dials, prepareDisk, prepareImage, prepareChild, powerOff }: RequestTargets,
  alive: () => void,
  end: () => void,
): Omit<Pick<Handlers, SandboxOp>, VolumeOp> {
  let setUp: Promise<void> = Promise.resolve();
  return {
    ping: () => ({}),
    "sandbox.setup": async (params, mark) => {
      alive();
      if (containers.count > 0) {
        throw blazarError("IllegalTransition", "set up the sandbox", "it has containers already");
      }
      // setups run one after the other
      setUp = setUp.catch(() => undefined).then(() => sandbox.setUp(params, mark));
      await setUp;
      return { now: adjustClock(0) };
    },
    "disk.prepare": async (params) => {
      alive();
      await prepareDisk(params);
      return {};
    },
    "image.prepare": async ({ serial }) => {
      alive();
      await prepareImage(serial);
      return {};
    },
    "child.prepare": async () => {
      alive();
      await prepareChild();
      return {};
    },
    "share.mount": async ({ share }) => {
      alive();
      await shares[share].mount();
      return {};
    },
    "share.unmount": async ({ share }) => {
      await shares[share].unmount();
      return {};
    },
    "network.dial": async (params) => {
      alive();
      await dials.dial(params);
      return {};
    },
    "network.apply": async ({ network }) => {
      alive();
      // a set-up that is under way comes first
      await setUp.catch(() => undefined);
      sandbox.changeNetwork(network);
      return {};
    },
    "clock.adjust": ({ by }) => ({ now: adjustClock(by) }),
    "sandbox.inventory": () => containers.inventory(),
    "sandbox.limit": ({ cgroup }) => {
      alive();
      limitPod(cgroup);
      return {};
    },
    "sandbox.shutdown": async () => {
      end();
      await containers.deleteAll();
      for (const share of Object.values(shares)) await share.unmount();
      await sandbox.tearDown();
      powerOff();
      return {};
    },
  };
}

function volumeHandlers({ volumes }: RequestTargets): Pick<Handlers, VolumeOp> {
  return {
    "volume.write": (params) => {
      volumes.write(params);
      return {};
    },
    "volume.swap": (params) => {
      volumes.swap(params);
      return {};
    },
    "volume.remove": ({ names }) => {
      volumes.remove(names);
      return {};
    },
  };
}

function containerHandlers(
  { containers, shells }: RequestTargets,
  alive: () => void,
): Omit<Handlers, SandboxOp> {
  return {
    "container.create": async (params, mark) => {
      alive();
      return await containers.create(params, mark);
    },
    "container.delete": async ({ id }) => {
      await containers.delete(id);
      return {};
    },
    "container.update": ({ id, cgroup }) => {
      containers.update(id, cgroup);
      return {};
    },
    "container.stats": ({ id }) => containers.stats(id),
    "container.pause": async ({ id }) => {
      await containers.freeze(id, true);
      return {};
    },
    "container.resume": async ({ id }) => {
      await containers.freeze(id, false);
      return {};
    },
    "container.pids": ({ id }) => containers.pids(id),
    "process.start": ({ id, execId }) => containers.start(id, execId),
    "process.exec": (params) => {
      if (params.id !== GUEST_ITSELF) return containers.exec(params);
      alive();
      return shells.exec(params);
    },
    "process.delete": async ({ id, execId }) => {
      await (id === GUEST_ITSELF ? shells.end(execId) : containers.deleteProcess(id, execId));
      return {};
    },
    "process.abandon": async ({ id, execId }) => {
      await (id === GUEST_ITSELF ? shells.end(execId) : containers.abandonExec(id, execId));
      return {};
    },
    "process.signal": (params) => {
      if (params.id === GUEST_ITSELF) shells.signal(params.execId, params.signal);
      else containers.signal(params);
      return {};
    },
    "process.resize": ({ id, execId, rows, columns }) => {
      if (id === GUEST_ITSELF) shells.resize(execId, rows, columns);
      else containers.resize(id, execId, rows, columns);
      return {};
    },
  };
}

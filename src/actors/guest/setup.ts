/**
 * What a guest is told before containers can run in it: names, files, entropy and time.
 *
 * The same for a guest that has just booted, for a clone's, and for a warm one that becomes a pod's.
 */
import type { Deadlines } from "../../contracts/deadlines.ts";
import { reachableResolvers } from "../../contracts/host-networks.ts";
import type { Logger } from "../../contracts/logger.ts";
import type { PodNetwork } from "../../contracts/pod-network.ts";
import type { SandboxSpec } from "../../contracts/sandbox.ts";
import type { Pace } from "../supply/pace.ts";
import { type ClockExchange, type ClockPorts, synchronizeClock } from "./clock.ts";
import { hostsFile, resolvConf } from "./files.ts";
import type { GuestLink } from "./link.ts";

/** Fresh entropy for a guest's pool: what Linux asks for at boot, twice. */
const ENTROPY_BYTES = 64;
/** What CRI gives a pod's /dev/shm. A tmpfs takes memory only for what is in it. */
const SHM_BYTES = 64 * 2 ** 20;

/** What a guest is told of the pod that it is for. */
export interface GuestSpec
  extends Pick<SandboxSpec, "id" | "hostname" | "dns" | "pidMode" | "sysctls" | "userNamespace"> {
  /** What it is when the guest is told; undefined = none. */
  readonly network: PodNetwork | undefined;
  /** Its network is the host's. Default: it is not. */
  readonly hostNetwork?: boolean;
  /** Files of the cgroup of all of its containers. Default: none. */
  readonly limits?: Readonly<Record<string, string>>;
}

/** What a set-up needs of the host. */
export interface GuestSetUpPorts {
  readonly deadlines: Pick<Deadlines, "guestRequest">;
  /** The node's own resolv.conf, for pods without DNS settings. */
  readonly hostResolvConf: () => Promise<string>;
  /** The node's own hosts file. */
  readonly hostHosts: () => Promise<string>;
  /** The node's own name, for pods without one. */
  readonly hostName: () => string;
  /** Milliseconds since the epoch. */
  readonly now: () => number;
  /** So many bytes of fresh randomness, as hex. */
  readonly randomHex: (bytes: number) => string;
  readonly pace: Pick<Pace, "guests">;
}

export interface GuestSetUpOptions {
  readonly spec: GuestSpec;
  readonly ports: GuestSetUpPorts;
  readonly logger: Logger;
  /** Longest that the guest may take, in milliseconds, once it is its turn. */
  readonly deadlineMs: number;
  readonly signal: AbortSignal;
}

/** A guest that has been set up. */
export interface GuestSetUp {
  /** Resolves when the guest's clock is as right as it gets: no container runs before that. Never rejects. */
  readonly clock: Promise<void>;
}

/** @throws BlazarError what the agent says, GuestLost, DeadlineExceeded, Cancelled by the signal */
export async function setUpGuest(
  guest: GuestLink,
  { spec, ports, logger, deadlineMs, signal }: GuestSetUpOptions,
): Promise<GuestSetUp> {
  const hostname = spec.hostname === "" ? ports.hostName() : spec.hostname;
  const setup = {
    sandboxId: spec.id,
    hostname,
    hosts: hostsFile(await ports.hostHosts(), hostname, spec.network),
    resolvConf: resolversOf(spec, await ports.hostResolvConf()),
    entropy: ports.randomHex(ENTROPY_BYTES),
    sharedPidNamespace: spec.pidMode === "pod",
    shmBytes: SHM_BYTES,
    userNamespace: spec.userNamespace,
    sysctls: spec.sysctls ?? {},
    limits: spec.limits ?? {},
  };
  const exchange = await ports.pace.guests.during(signal, async () => {
    const asked = ports.now();
    const params = { ...setup, network: spec.network, now: asked };
    const answer = await guest.request("sandbox.setup", params, { deadlineMs, signal });
    return { asked, guest: answer.now, answered: ports.now() };
  });
  const { deadlines, now } = ports;
  const limits = { deadlineMs: deadlines.guestRequest };
  const adjust = async (by: number) => (await guest.request("clock.adjust", { by }, limits)).now;
  return { clock: setClock({ adjust, now, logger }, exchange) };
}

/** A start does not wait for it, and neither does what takes a sandbox down: with its link it is over. */
async function setClock(ports: ClockPorts, first: ClockExchange): Promise<void> {
  await synchronizeClock(ports, first).catch((error: unknown) =>
    ports.logger.warn({ err: error }, "the guest could not be asked for its clock"),
  );
}

/** A guest with the host's network has a loopback of its own. */
function resolversOf({ dns, hostNetwork }: GuestSpec, hostsOwn: string): string {
  const text = resolvConf(dns, hostsOwn);
  return hostNetwork === true ? reachableResolvers(text) : text;
}

/**
 * The ports of the host that pods with hostNetwork have declared: each is one pod's.
 *
 * Ports that a process of the host has are not known here: the helper fails at them.
 */
import { type BlazarError, blazarError } from "../../../contracts/errors.ts";
import type { NetworkedPod } from "../../../contracts/network.ts";
import type { PodPort } from "../../../contracts/sandbox.ts";
import { ipBytes, ipText } from "../../../protocol/netlink/address-text.ts";

/** A port of the host that goes to one of the guest's. */
export interface HostPort {
  readonly protocol: "tcp" | "udp";
  /** "" = all. */
  readonly address: string;
  readonly host: number;
  readonly guest: number;
}

type Declaring = Pick<NetworkedPod, "id" | "ports" | "name" | "namespace">;

interface Claim {
  /** In an operator's words. */
  readonly pod: string;
  readonly ports: readonly HostPort[];
}

const EVERY_ADDRESS: ReadonlySet<string> = new Set(["", "0.0.0.0", "::"]);
const LAST_PORT = 65_535;
/** MAX_FWD_RULES of pasta. */
const MOST_PORTS = 255;

export class HostPorts {
  private readonly claims = new Map<string, Claim>();

  /**
   * Throws UnsupportedSpec (SCTP, too many), InvalidSpec (no port, no address, declared twice in the pod), PortInUse naming
   * port and pod.
   */
  check(pod: Declaring): HostPort[] {
    const ports = declared(pod);
    for (const [id, claim] of this.claims) {
      if (id === pod.id) continue;
      for (const port of ports) {
        if (claim.ports.some((other) => collide(port, other))) throw inUse(pod, port, `the pod ${claim.pod}`);
      }
    }
    return ports;
  }

  /** Throws what {@link check} throws. */
  claim(pod: Declaring): HostPort[] {
    const ports = this.check(pod);
    if (ports.length > 0) this.claims.set(pod.id, { pod: nameOf(pod), ports });
    return ports;
  }

  release(id: string): void {
    this.claims.delete(id);
  }
}

/** @param owner who has it, in an operator's words */
export function inUse(pod: Declaring, port: Pick<HostPort, "protocol" | "host">, owner: string): BlazarError {
  const reason = `port ${port.host}/${port.protocol} of the host belongs to ${owner}`;
  const remedy = "use another port, or run the pods on different nodes";
  return blazarError("PortInUse", "give a pod its ports of the host", reason, {
    subject: nameOf(pod),
    remedy,
  });
}

/** Its hostIP is not an address that the host has. */
export function notOfHost(
  pod: Declaring,
  port: Pick<HostPort, "protocol" | "host">,
  reason: string,
): BlazarError {
  const what = `port ${port.host}/${port.protocol}: the host does not have its hostIP (${reason})`;
  return unfit("InvalidSpec", pod, what, "leave it out, or name an address of the host");
}

function nameOf({ id, name = "", namespace = "" }: Declaring): string {
  return name === "" ? id : `${namespace}/${name}`;
}

function declared(pod: Declaring): HostPort[] {
  const ports: HostPort[] = [];
  for (const port of (pod.ports ?? []).map((one) => hostPortOf(one, pod))) {
    const other = ports.find((one) => collide(one, port));
    if (other === undefined) ports.push(port);
    else if (other.guest !== port.guest) throw inUse(pod, port, "the same pod already");
  }
  if (ports.length > MOST_PORTS)
    throw unfit("UnsupportedSpec", pod, `${ports.length} ports`, `there may be ${MOST_PORTS} at most`);
  return ports;
}

/** Kubernetes has both ports the same; where only one is named, it is both. */
function hostPortOf({ protocol, hostPort, containerPort, hostIp }: PodPort, pod: Declaring): HostPort {
  const host = hostPort || containerPort;
  const guest = containerPort || host;
  if (protocol === "sctp")
    throw unfit(
      "UnsupportedSpec",
      pod,
      `port ${host}: SCTP`,
      "only TCP and UDP reach a guest that has the host's network",
    );
  const bad = [host, guest].find((each) => each < 1 || each > LAST_PORT);
  if (bad !== undefined)
    throw unfit("InvalidSpec", pod, `${bad} is no port`, `a port is from 1 to ${LAST_PORT}`);
  return { protocol, address: addressOf(hostIp, host, pod), host, guest };
}

/** As the kernel writes it, so that two ways to write one address are one. It becomes a word of pasta's command line. */
function addressOf(hostIp: string, host: number, pod: Declaring): string {
  if (EVERY_ADDRESS.has(hostIp)) return "";
  const address = ipText(ipBytes(hostIp) ?? new Uint8Array(0));
  if (address !== undefined) return EVERY_ADDRESS.has(address) ? "" : address;
  const what = `port ${host}: the hostIP ${JSON.stringify(hostIp)} is no IP address`;
  throw unfit("InvalidSpec", pod, what, "leave it out, or name an address of the host");
}

function unfit(
  code: "InvalidSpec" | "UnsupportedSpec",
  pod: Declaring,
  reason: string,
  remedy: string,
): BlazarError {
  return blazarError(code, "give a pod its ports of the host", reason, { subject: nameOf(pod), remedy });
}

function collide(a: HostPort, b: HostPort): boolean {
  return (
    a.protocol === b.protocol &&
    a.host === b.host &&
    (a.address === b.address || a.address === "" || b.address === "")
  );
}

/** As pasta(1) has it after -t and -u. */
export function portSpec({ address, host, guest }: HostPort): string {
  const ports = host === guest ? String(host) : `${host}:${guest}`;
  return address === "" ? ports : `${address}/${ports}`;
}

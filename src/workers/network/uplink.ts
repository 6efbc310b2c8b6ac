/**
 * The host's own network as it is, and an uplink's tap, ready for the helper and joined to a VM's tap.
 *
 * An uplink is a network namespace with one tap, which the keeper has made (keeper/processes/uplinks.ts). For workers only.
 */
import { constants } from "node:os";
import { blazarError } from "../../contracts/errors.ts";
import type { HostPlan } from "../../contracts/host-networks.ts";
import type { VmNic } from "../../contracts/vm.ts";
import { IN6_ADDR_GEN_MODE_NONE } from "../../protocol/netlink/constants.ts";
import { setLink } from "../../protocol/netlink/links.ts";
import { readRecords } from "../../protocol/netlink/pod-network.ts";
import { tapName } from "./carried.ts";
import { hostPlan } from "./host-plan.ts";
import { type Joint, joinTaps } from "./join.ts";
import { NetworkNamespace } from "./namespaces.ts";
import { RouteSession } from "./route-session.ts";
import { readSysctl } from "./sysctls.ts";

const { EAFNOSUPPORT, EOPNOTSUPP } = constants.errno;

export interface UplinkJoint {
  /** Of the uplink's namespace. */
  readonly path: string;
  readonly mac: string;
  readonly joint: Joint;
}

/** Undefined for a host without any address but loopback's. Throws HostResource. */
export function readHostNetwork(path: string): HostPlan | undefined {
  return within(path, ({ exchange }, namespace) => hostPlan(readRecords(exchange), pingGroups(namespace)));
}

/** None where the kernel does not say. */
function pingGroups(namespace: NetworkNamespace): HostPlan["pingGroups"] {
  const text = namespace.run(() => readSysctl("net/ipv4/ping_group_range"));
  const [first = 1, last = 0] = (text ?? "").split(" ").filter(Boolean).map(Number);
  return [first, last];
}

/** Gives where the VM's tap is from then on. Throws HostResource, VmmExited if it is gone. */
export async function joinUplink({ path, mac, joint }: UplinkJoint): Promise<VmNic> {
  within(path, (session) => setUp(session, mac, joint));
  await joinTaps(path, [joint]);
  return { tap: tapName(0), namespace: path };
}

/** The guest and nobody else has addresses there. */
function setUp(session: RouteSession, mac: string, { link: name, mtu }: Joint): void {
  const tap = session.link(name);
  if (tap === undefined)
    throw blazarError("HostResource", "set up an uplink", "its tap is gone", { subject: name });
  session.do([
    {
      what: "keep an uplink without IPv6 addresses",
      request: setLink(tap.index, { addressMode: IN6_ADDR_GEN_MODE_NONE }),
      fine: [EAFNOSUPPORT, EOPNOTSUPP],
    },
    { what: `give an uplink the address ${mac}`, request: setLink(tap.index, { mac }) },
    { what: `set an uplink's MTU to ${mtu}`, request: setLink(tap.index, { mtu }) },
    { what: "set an uplink up", request: setLink(tap.index, { up: true }) },
  ]);
}

function within<T>(path: string, work: (session: RouteSession, namespace: NetworkNamespace) => T): T {
  const namespace = NetworkNamespace.open(path);
  try {
    const session = RouteSession.in(namespace);
    try {
      return work(session, namespace);
    } finally {
      session.close();
    }
  } finally {
    namespace.close();
  }
}

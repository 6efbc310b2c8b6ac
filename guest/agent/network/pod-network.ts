/**
 * The pod's network in the guest: the machine's network interfaces become the links that the pod's namespace has.
 *
 * Interfaces are found by their permanent MAC addresses (src/protocol/guest/nics.ts). They are in the guest's own network
 * namespace, or in that of the pod's user namespace. What the pod itself changes stays, unless the host changes it, too.
 */
import * as sys from "sys";
import { reasonOfErrno } from "../../../native/runtime/check.ts";
import { blazarError } from "../../../src/contracts/errors.ts";
import { NO_NETWORK, type PodNetwork } from "../../../src/contracts/pod-network.ts";
import { MOST_NICS, nicMac } from "../../../src/protocol/guest/nics.ts";
import type { NetlinkExchange } from "../../../src/protocol/netlink/exchange.ts";
import { getLinks, linkOf, setLink } from "../../../src/protocol/netlink/links.ts";
import { openNetworkNamespace, withinNetwork } from "./namespace.ts";
import { withNetlink } from "./netlink-socket.ts";
import { loopbackUp, type NetworkStep, type Nic, stepsOf } from "./network-plan.ts";
import { NetworkSysctls } from "./network-sysctls.ts";

/** What has been told last. */
interface Applied {
  readonly network: PodNetwork;
  /** The kernel took all of it. */
  readonly whole: boolean;
}

const NOTHING: Applied = { network: NO_NETWORK, whole: true };

/** Brings up the loopback interface of the namespace that the caller is in. */
export function bringUpLoopback(): void {
  withNetlink((exchange) => run(exchange, [loopbackUp()]));
}

export class GuestNetwork {
  private applied = NOTHING;
  private sysctls = new NetworkSysctls();
  /** Where the interfaces are: a descriptor of a namespace, or the guest's own. */
  private namespace: number | undefined;
  /** Looked for ahead, while no container can give them other names. */
  private nics: readonly Nic[] | undefined;

  /** Makes the network what it shall be. Throws InvalidArgument, or GuestFailed with what the kernel says, by name. */
  apply(network: PodNetwork = NO_NETWORK): void {
    const { network: before, whole: beforeIsWhole } = this.applied;
    if (isEmpty(before) && isEmpty(network)) return;
    // told ahead
    if (beforeIsWhole && JSON.stringify(before) === JSON.stringify(network)) return;
    this.inside(() =>
      withNetlink((exchange) => {
        const nics = this.nics ?? findNics(exchange);
        this.nics = undefined;
        const steps = stepsOf({ before, beforeIsWhole, after: network, nics });
        this.applied = { network, whole: false };
        for (const [at] of network.links.entries())
          if (before.links[at] === undefined) refuseRouters(nics[at]);
        run(exchange, steps);
        this.sysctls.apply(network.sysctls ?? {});
        if (isEmpty(network)) this.nics = findNics(exchange);
      }),
    );
    this.applied = { network, whole: true };
  }

  private inside(use: () => void): void {
    if (this.namespace === undefined) use();
    else withinNetwork(this.namespace, use);
  }

  /** Moves the interfaces to a namespace, which has none of the pod's network then. Its `lo` is up already. */
  moveTo(namespace: number): void {
    if (this.applied !== NOTHING) this.apply();
    withNetlink((exchange) => {
      for (const { index, name } of findNics(exchange)) {
        const request = setLink(index, { namespace });
        run(exchange, [
          { request, operation: "give the pod a network interface", subject: name, harmless: [] },
        ]);
      }
    });
    this.namespace = namespace;
    this.forget();
  }

  private forget(): void {
    this.nics = undefined;
    this.applied = NOTHING;
    this.sysctls = new NetworkSysctls();
  }

  /** Brings them back to the guest's own, without what the pod had. */
  takeBack(): void {
    const { namespace } = this;
    if (namespace === undefined) return;
    this.namespace = undefined;
    this.forget();
    const home = openNetworkNamespace();
    try {
      withinNetwork(namespace, () =>
        withNetlink((exchange) => {
          for (const { index, name } of findNics(exchange)) {
            const request = setLink(index, { namespace: home });
            const operation = "take a network interface from the pod";
            run(exchange, [{ request, operation, subject: name, harmless: [] }]);
          }
        }),
      );
    } finally {
      sys.close(home);
    }
  }
}

function isEmpty({ links, routes, neighbours, sysctls = {} }: PodNetwork): boolean {
  return links.length + routes.length + neighbours.length + Object.keys(sysctls).length === 0;
}

/** Number n of the list has the permanent MAC address n. */
function findNics(exchange: NetlinkExchange): Nic[] {
  const byMac = new Map<string | undefined, Nic>();
  for (const message of exchange.dump(getLinks())) {
    const { index, name, permanentMac } = linkOf(message);
    byMac.set(permanentMac, { index, name });
  }
  const nics: Nic[] = [];
  for (let number = 0; number < MOST_NICS; number++) {
    const nic = byMac.get(nicMac(number));
    if (nic === undefined) break;
    nics.push(nic);
  }
  return nics;
}

/** What routers advertise is not the pod's: the pod's namespace has what the guest is told. */
function refuseRouters(nic: Nic | undefined): void {
  if (nic === undefined) return;
  // a link without IPv6 has no such file
  sys.writeFile(`/proc/sys/net/ipv6/conf/${nic.name}/accept_ra`, "0", sys.O_WRONLY);
}

/** Throws GuestFailed for the first step that the kernel refuses; those after it are done all the same. */
function run(exchange: NetlinkExchange, steps: readonly NetworkStep[]): void {
  for (const [at, { errno, text }] of exchange.failuresOf(steps.map(({ request }) => request))) {
    const { operation = "", subject, harmless } = steps[at] ?? {};
    if (harmless?.includes(errno)) continue;
    const reason = `${reasonOfErrno(errno)}${text === undefined ? "" : `: ${text}`}`;
    throw blazarError("GuestFailed", operation, reason, { subject });
  }
}

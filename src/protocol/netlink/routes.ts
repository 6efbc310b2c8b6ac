/** Routes: RTM_GETROUTE, RTM_NEWROUTE, RTM_DELROUTE. rtnetlink(7). */
import type { PodRoute } from "../../contracts/pod-network.ts";
import { anyAddress, bitsOf, familyOf, ipText, networkOf } from "./address-text.ts";
import { bytesOf } from "./addresses.ts";
import {
  AF_INET,
  AF_INET6,
  NLM_F_CREATE,
  RT_TABLE_MAIN,
  RTA,
  RTAX_MTU,
  RTM_DELROUTE,
  RTM_F_CLONED,
  RTM_GETROUTE,
  RTM_NEWROUTE,
  RTN_BLACKHOLE,
  RTN_PROHIBIT,
  RTN_UNICAST,
  RTN_UNREACHABLE,
  RTNH_F_ONLINK,
  RTPROT_BOOT,
} from "./constants.ts";
import { Attributes, fixedPart, malformed, type NetlinkMessage, viewOf } from "./reader.ts";
import { BodyWriter, type NetlinkRequest } from "./writer.ts";

/** struct rtmsg. */
const FIXED_BYTES = 12;

/** What {@link RouteSpec} can say of what becomes of a packet. */
const SAID_TYPES: ReadonlySet<number> = new Set([RTN_UNICAST, RTN_BLACKHOLE, RTN_UNREACHABLE, RTN_PROHIBIT]);
/** The words of ip-route(8), by RTN_*. */
const TYPE_WORDS = [
  "unspec",
  "unicast",
  "local",
  "broadcast",
  "anycast",
  "multicast",
  "",
  "",
  "",
  "throw",
  "nat",
];

/** A route as the kernel has it. */
export interface RouteRecord {
  readonly family: number;
  /** Network with its bits. */
  readonly destination: string;
  /** RT_TABLE_*. */
  readonly table: number;
  /** RTPROT_*: who made it. */
  readonly protocol: number;
  /** RT_SCOPE_*. */
  readonly scope: number;
  /** RTN_*. */
  readonly type: number;
  /** Index of its link; undefined for one without, such as a blackhole. */
  readonly link: number | undefined;
  readonly gateway: string | undefined;
  /** Preferred source address. */
  readonly source: string | undefined;
  /** Priority; 0 = none. */
  readonly metric: number;
  readonly mtu: number | undefined;
  readonly onlink: boolean;
  /** The kernel has made it from another one for a single destination. */
  readonly cloned: boolean;
  /** What {@link RouteSpec} cannot say of it: "several next hops", …; undefined if it says all. */
  readonly beyond: string | undefined;
}

/** A route to be made or removed. */
export interface RouteSpec extends Omit<PodRoute, "link"> {
  /** Index of its link. */
  readonly link: number | undefined;
  /** RTPROT_*; default: boot, as `ip route add`. */
  readonly protocol?: number | undefined;
}

/** Dumps the routes of a family in all tables. */
export function getRoutes(family: number): NetlinkRequest {
  return {
    type: RTM_GETROUTE,
    flags: 0,
    body: new BodyWriter()
      .u8(family)
      .zeros(FIXED_BYTES - 1)
      .finish(),
  };
}

/** Adds a route of the main table. Its answer is EEXIST if there is one. Throws RangeError for what is no address. */
export function addRoute(route: RouteSpec): NetlinkRequest {
  return { type: RTM_NEWROUTE, flags: NLM_F_CREATE, body: bodyOf(route, route.protocol ?? RTPROT_BOOT) };
}

/** Removes a route of the main table, whoever made it. */
export function deleteRoute(route: RouteSpec): NetlinkRequest {
  return { type: RTM_DELROUTE, flags: 0, body: bodyOf(route, 0) };
}

/** Reads an RTM_NEWROUTE. Throws FrameMalformed. */
export function routeOf(message: NetlinkMessage): RouteRecord {
  if (message.type !== RTM_NEWROUTE) malformed(`a message of type ${message.type} among routes`);
  const fixed = fixedPart(message.body, FIXED_BYTES);
  const attributes = new Attributes(message.body, FIXED_BYTES);
  const family = fixed.getUint8(0);
  if (family !== AF_INET && family !== AF_INET6) malformed(`a route of family ${family}`);
  const text = (type: number) => {
    const bytes = attributes.bytes(type);
    return bytes === undefined ? undefined : (ipText(bytes) ?? malformed("an address that is none"));
  };
  const flags = fixed.getUint32(8, true);
  const prefix = fixed.getUint8(1);
  if (prefix > bitsOf(family)) malformed(`a prefix of ${prefix} bits`);
  const metrics = attributes.nested(RTA.METRICS);
  return {
    family,
    destination: `${text(RTA.DST) ?? anyAddress(family)}/${prefix}`,
    table: attributes.u32(RTA.TABLE) ?? fixed.getUint8(4),
    protocol: fixed.getUint8(5),
    scope: fixed.getUint8(6),
    type: fixed.getUint8(7),
    link: attributes.u32(RTA.OIF),
    gateway: text(RTA.GATEWAY) ?? gatewayOfOtherFamily(attributes),
    source: text(RTA.PREFSRC),
    metric: attributes.u32(RTA.PRIORITY) ?? 0,
    mtu: metrics?.u32(RTAX_MTU),
    onlink: (flags & RTNH_F_ONLINK) !== 0,
    cloned: (flags & RTM_F_CLONED) !== 0,
    beyond: beyond(fixed, attributes),
  };
}

/** RTA_VIA: an IPv4 route by an IPv6 gateway (RFC 5549). */
function gatewayOfOtherFamily(attributes: Attributes): string | undefined {
  const via = attributes.bytes(RTA.VIA);
  return via === undefined ? undefined : ipText(via.subarray(2));
}

function beyond(fixed: DataView, attributes: Attributes): string | undefined {
  if (attributes.has(RTA.MULTIPATH)) return "several next hops";
  if (attributes.has(RTA.ENCAP_TYPE)) return "an encapsulation";
  if (fixed.getUint8(3) !== 0) return "a type of service";
  if (fixed.getUint8(2) !== 0) return "a source network";
  const type = fixed.getUint8(7);
  if (!SAID_TYPES.has(type)) return `the type ${TYPE_WORDS[type] ?? type}`;
  return undefined;
}

function bodyOf(route: RouteSpec, protocol: number): Uint8Array {
  const { link, gateway, source, scope, type, metric, mtu, onlink } = route;
  const network = networkOf(route.destination);
  if (network === undefined) throw new RangeError(`no network: ${JSON.stringify(route.destination)}`);
  const { address, prefix } = network;
  const family = familyOf(address);
  const body = new BodyWriter().u8(family).u8(prefix).u8(0).u8(0);
  body
    .u8(RT_TABLE_MAIN)
    .u8(protocol)
    .u8(scope)
    .u8(type)
    .u32(onlink ? RTNH_F_ONLINK : 0);
  if (prefix > 0) body.attribute(RTA.DST, address);
  if (link !== undefined) body.attributeU32(RTA.OIF, link);
  if (gateway !== undefined) writeGateway(body, bytesOf(gateway), family);
  if (source !== undefined) body.attribute(RTA.PREFSRC, bytesOf(source, family));
  if (metric !== 0) body.attributeU32(RTA.PRIORITY, metric);
  if (mtu !== undefined) body.nested(RTA.METRICS, (metrics) => metrics.attributeU32(RTAX_MTU, mtu));
  return body.finish();
}

function writeGateway(body: BodyWriter, gateway: Uint8Array, family: number): void {
  if (familyOf(gateway) === family) {
    body.attribute(RTA.GATEWAY, gateway);
    return;
  }
  const via = new Uint8Array(2 + gateway.length);
  viewOf(via).setUint16(0, familyOf(gateway), true);
  via.set(gateway, 2);
  body.attribute(RTA.VIA, via);
}

/** Links (network interfaces): RTM_GETLINK and what changes them. rtnetlink(7), linux/if_link.h. */
import { macBytes, macText } from "./address-text.ts";
import {
  AF_INET6,
  AF_UNSPEC,
  IFF_UP,
  IFLA,
  IFLA_INET6_ADDR_GEN_MODE,
  IFLA_INFO_DATA,
  IFLA_INFO_KIND,
  IFLA_IPVLAN_MODE,
  RTEXT_FILTER_SKIP_STATS,
  RTM_DELLINK,
  RTM_GETLINK,
  RTM_NEWLINK,
  RTM_SETLINK,
} from "./constants.ts";
import { Attributes, fixedPart, malformed, type NetlinkMessage } from "./reader.ts";
import { BodyWriter, type NetlinkRequest } from "./writer.ts";

/** struct ifinfomsg. */
const FIXED_BYTES = 16;

/** A link as the kernel has it. */
export interface LinkRecord {
  readonly index: number;
  readonly name: string;
  /** `veth`, `macvlan`, …; "" for a device of its own, such as virtio-net's or `lo`. */
  readonly kind: string;
  /** ARPHRD_*. */
  readonly type: number;
  /** IFF_*. */
  readonly flags: number;
  /** It was set up; that says nothing of whether it can carry frames. */
  readonly up: boolean;
  readonly mtu: number;
  /** Undefined if the link's addresses are no MAC addresses. */
  readonly mac: string | undefined;
  /** The one that the device had before it was given another. */
  readonly permanentMac: string | undefined;
  /** IN6_ADDR_GEN_MODE_*; undefined without IPv6. */
  readonly addressMode: number | undefined;
  /** IPVLAN_MODE_* of an ipvlan. */
  readonly ipvlanMode: number | undefined;
  /** Index of the link of the same namespace that it sends by, as a VLAN or a macvlan does; not the peer of a veth. */
  readonly above: number | undefined;
}

/** What {@link setLink} changes; the rest stays. */
export interface LinkChanges {
  readonly up?: boolean;
  readonly mtu?: number;
  /** Throws RangeError if it is no MAC address. */
  readonly mac?: string;
  readonly name?: string;
  /** A descriptor of the namespace that the link moves into; the other changes are made there. */
  readonly namespace?: number;
  /** IN6_ADDR_GEN_MODE_*. */
  readonly addressMode?: number;
  /** IFF_* beside IFF_UP that are set or cleared. */
  readonly flags?: { readonly set: number; readonly mask: number };
}

/** Dumps all links of the namespace. */
export function getLinks(): NetlinkRequest {
  const body = header(0, 0, 0).attributeU32(IFLA.EXT_MASK, RTEXT_FILTER_SKIP_STATS);
  return { type: RTM_GETLINK, flags: 0, body: body.finish() };
}

/** One link by its name; ENODEV: there is none. */
export function getLink(name: string): NetlinkRequest {
  const body = header(0, 0, 0).attributeText(IFLA.IFNAME, name);
  return {
    type: RTM_GETLINK,
    flags: 0,
    body: body.attributeU32(IFLA.EXT_MASK, RTEXT_FILTER_SKIP_STATS).finish(),
  };
}

export function setLink(index: number, changes: LinkChanges): NetlinkRequest {
  const { up, mtu, mac, name, namespace, addressMode, flags } = changes;
  const set = (up ? IFF_UP : 0) | (flags?.set ?? 0);
  const mask = (up === undefined ? 0 : IFF_UP) | (flags?.mask ?? 0);
  const body = header(index, set, mask);
  if (namespace !== undefined) body.attributeU32(IFLA.NET_NS_FD, namespace);
  if (name !== undefined) body.attributeText(IFLA.IFNAME, name);
  if (mac !== undefined) body.attribute(IFLA.ADDRESS, macBytes(mac) ?? notMac(mac));
  if (mtu !== undefined) body.attributeU32(IFLA.MTU, mtu);
  if (addressMode !== undefined)
    body.nested(IFLA.AF_SPEC, (families) =>
      families.nested(AF_INET6, (six) => six.attributeU8(IFLA_INET6_ADDR_GEN_MODE, addressMode)),
    );
  return { type: RTM_SETLINK, flags: 0, body: body.finish() };
}

export function deleteLink(index: number): NetlinkRequest {
  return { type: RTM_DELLINK, flags: 0, body: header(index, 0, 0).finish() };
}

/** Reads an RTM_NEWLINK. Throws FrameMalformed. */
export function linkOf(message: NetlinkMessage): LinkRecord {
  if (message.type !== RTM_NEWLINK) malformed(`a message of type ${message.type} among links`);
  const fixed = fixedPart(message.body, FIXED_BYTES);
  const attributes = new Attributes(message.body, FIXED_BYTES);
  const flags = fixed.getUint32(8, true);
  const info = attributes.nested(IFLA.LINKINFO);
  const mac = (type: number) => macText(attributes.bytes(type) ?? new Uint8Array(0));
  const kind = info?.text(IFLA_INFO_KIND) ?? "";
  const index = fixed.getInt32(4, true);
  return {
    index,
    name: attributes.text(IFLA.IFNAME) ?? malformed("a link without a name"),
    kind,
    type: fixed.getUint16(2, true),
    flags,
    up: (flags & IFF_UP) !== 0,
    mtu: attributes.u32(IFLA.MTU) ?? 0,
    mac: mac(IFLA.ADDRESS),
    permanentMac: mac(IFLA.PERM_ADDRESS),
    addressMode: attributes.nested(IFLA.AF_SPEC)?.nested(AF_INET6)?.u8(IFLA_INET6_ADDR_GEN_MODE),
    ipvlanMode: kind === "ipvlan" ? info?.nested(IFLA_INFO_DATA)?.u16(IFLA_IPVLAN_MODE) : undefined,
    above: kind === "veth" ? undefined : lowerOf(index, attributes),
  };
}

/** IFLA_LINK: 0 or the link's own index if there is none. With LINK_NETNSID it is one of another namespace. */
function lowerOf(index: number, attributes: Attributes): number | undefined {
  const lower = attributes.u32(IFLA.LINK) ?? 0;
  const none = lower === 0 || lower === index || attributes.has(IFLA.LINK_NETNSID);
  return none ? undefined : lower;
}

function header(index: number, flags: number, mask: number): BodyWriter {
  return new BodyWriter().u8(AF_UNSPEC).u8(0).u16(0).u32(index).u32(flags).u32(mask);
}

function notMac(text: string): never {
  throw new RangeError(`no MAC address: ${JSON.stringify(text)}`);
}

/** Neighbours (ARP and NDP entries): RTM_GETNEIGH, RTM_NEWNEIGH, RTM_DELNEIGH. rtnetlink(7), linux/neighbour.h. */
import { familyOf, ipText, macBytes, macText } from "./address-text.ts";
import { bytesOf } from "./addresses.ts";
import {
  AF_UNSPEC,
  NDA,
  NLM_F_CREATE,
  NLM_F_REPLACE,
  NUD_PERMANENT,
  RTM_DELNEIGH,
  RTM_GETNEIGH,
  RTM_NEWNEIGH,
} from "./constants.ts";
import { Attributes, fixedPart, malformed, type NetlinkMessage } from "./reader.ts";
import { BodyWriter, type NetlinkRequest } from "./writer.ts";

/** struct ndmsg. */
const FIXED_BYTES = 12;

/** A neighbour as the kernel has it. */
export interface NeighbourRecord {
  /** Of its link. */
  readonly index: number;
  readonly address: string;
  /** Undefined while it is looked for. */
  readonly mac: string | undefined;
  /** Somebody has set it, and it does not go by itself. */
  readonly permanent: boolean;
}

/** Dumps the neighbours of all links. */
export function getNeighbours(): NetlinkRequest {
  return {
    type: RTM_GETNEIGH,
    flags: 0,
    body: new BodyWriter()
      .u8(AF_UNSPEC)
      .zeros(FIXED_BYTES - 1)
      .finish(),
  };
}

/** Sets a permanent neighbour. Throws RangeError for what is no address. */
export function setNeighbour(index: number, address: string, mac: string): NetlinkRequest {
  const bytes = macBytes(mac);
  if (bytes === undefined) throw new RangeError(`no MAC address: ${JSON.stringify(mac)}`);
  const body = header(index, bytesOf(address)).attribute(NDA.LLADDR, bytes).finish();
  return { type: RTM_NEWNEIGH, flags: NLM_F_CREATE | NLM_F_REPLACE, body };
}

export function deleteNeighbour(index: number, address: string): NetlinkRequest {
  return { type: RTM_DELNEIGH, flags: 0, body: header(index, bytesOf(address)).finish() };
}

/** Reads an RTM_NEWNEIGH; undefined if it is not about an IP address. Throws FrameMalformed. */
export function neighbourOf(message: NetlinkMessage): NeighbourRecord | undefined {
  if (message.type !== RTM_NEWNEIGH) malformed(`a message of type ${message.type} among neighbours`);
  const fixed = fixedPart(message.body, FIXED_BYTES);
  const attributes = new Attributes(message.body, FIXED_BYTES);
  const address = ipText(attributes.bytes(NDA.DST) ?? new Uint8Array(0));
  if (address === undefined) return undefined;
  return {
    index: fixed.getInt32(4, true),
    address,
    mac: macText(attributes.bytes(NDA.LLADDR) ?? new Uint8Array(0)),
    permanent: (fixed.getUint16(8, true) & NUD_PERMANENT) !== 0,
  };
}

function header(index: number, address: Uint8Array): BodyWriter {
  const body = new BodyWriter().u8(familyOf(address)).zeros(3).u32(index).u16(NUD_PERMANENT).zeros(2);
  return body.attribute(NDA.DST, address);
}

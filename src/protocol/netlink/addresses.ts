/** Addresses of links: RTM_GETADDR, RTM_NEWADDR, RTM_DELADDR. rtnetlink(7), linux/if_addr.h. */
import { bitsOf, familyOf, ipBytes, ipText } from "./address-text.ts";
import {
  AF_UNSPEC,
  IFA,
  NLM_F_CREATE,
  NLM_F_REPLACE,
  RTM_DELADDR,
  RTM_GETADDR,
  RTM_NEWADDR,
} from "./constants.ts";
import { Attributes, fixedPart, malformed, type NetlinkMessage } from "./reader.ts";
import { BodyWriter, type NetlinkRequest } from "./writer.ts";

/** struct ifaddrmsg. */
const FIXED_BYTES = 8;
/** "For ever" in IFA_CACHEINFO. */
const FOR_EVER = 0xffff_ffff;

/** An address as the kernel has it. */
export interface AddressRecord {
  /** Of its link. */
  readonly index: number;
  readonly family: number;
  readonly address: string;
  readonly prefix: number;
  /** The other end, if it is another address. */
  readonly peer: string | undefined;
  readonly broadcast: string | undefined;
  /** RT_SCOPE_*. */
  readonly scope: number;
  /** IFA_F_*. */
  readonly flags: number;
  /** It goes by itself after a time. */
  readonly mortal: boolean;
}

/** What names an address on its link. */
export interface AddressSpec {
  readonly address: string;
  readonly prefix: number;
  readonly peer?: string | undefined;
  readonly broadcast?: string | undefined;
  /** RT_SCOPE_*; default: universe. */
  readonly scope?: number | undefined;
  /** IFA_F_*. */
  readonly flags?: number | undefined;
}

/** Dumps all addresses of the namespace. */
export function getAddresses(): NetlinkRequest {
  return {
    type: RTM_GETADDR,
    flags: 0,
    body: new BodyWriter()
      .u8(AF_UNSPEC)
      .zeros(FIXED_BYTES - 1)
      .finish(),
  };
}

/** Adds an address; one that is there with the same prefix is changed. Throws RangeError if it is no address. */
export function addAddress(index: number, address: AddressSpec): NetlinkRequest {
  return { type: RTM_NEWADDR, flags: NLM_F_CREATE | NLM_F_REPLACE, body: bodyOf(index, address) };
}

/** Throws RangeError if it is no address. */
export function deleteAddress(index: number, address: AddressSpec): NetlinkRequest {
  return { type: RTM_DELADDR, flags: 0, body: bodyOf(index, address) };
}

/** Reads an RTM_NEWADDR. Throws FrameMalformed. */
export function addressOf(message: NetlinkMessage): AddressRecord {
  if (message.type !== RTM_NEWADDR) malformed(`a message of type ${message.type} among addresses`);
  const fixed = fixedPart(message.body, FIXED_BYTES);
  const attributes = new Attributes(message.body, FIXED_BYTES);
  const text = (type: number) => {
    const bytes = attributes.bytes(type);
    return bytes === undefined ? undefined : (ipText(bytes) ?? malformed("an address that is none"));
  };
  const other = text(IFA.ADDRESS);
  // IPv6 has the second one only if there is a peer
  const address = text(IFA.LOCAL) ?? other ?? malformed("an address without an address");
  const lifetimes = attributes.bytes(IFA.CACHEINFO);
  return {
    index: fixed.getUint32(4, true),
    family: fixed.getUint8(0),
    address,
    prefix: fixed.getUint8(1),
    peer: other === address ? undefined : other,
    broadcast: text(IFA.BROADCAST),
    scope: fixed.getUint8(3),
    flags: attributes.u32(IFA.FLAGS) ?? fixed.getUint8(2),
    mortal: lifetimes !== undefined && fixedPart(lifetimes, 8).getUint32(4, true) !== FOR_EVER,
  };
}

function bodyOf(index: number, spec: AddressSpec): Uint8Array {
  const { prefix, scope = 0, flags = 0 } = spec;
  const address = bytesOf(spec.address);
  const family = familyOf(address);
  if (!(prefix >= 0 && prefix <= bitsOf(family)))
    throw new RangeError(`no prefix of ${spec.address}: ${prefix}`);
  const other = spec.peer === undefined ? address : bytesOf(spec.peer, family);
  const body = new BodyWriter()
    .u8(family)
    .u8(prefix)
    .u8(flags & 0xff)
    .u8(scope)
    .u32(index);
  body.attribute(IFA.LOCAL, address).attribute(IFA.ADDRESS, other);
  if (spec.broadcast !== undefined) body.attribute(IFA.BROADCAST, bytesOf(spec.broadcast, family));
  if (flags !== 0) body.attributeU32(IFA.FLAGS, flags);
  return body.finish();
}

/** The bytes of an address, of this family if it is given. Throws RangeError. */
export function bytesOf(text: string, family?: number): Uint8Array {
  const bytes = ipBytes(text);
  if (bytes !== undefined && (family === undefined || familyOf(bytes) === family)) return bytes;
  throw new RangeError(`no address: ${JSON.stringify(text)}`);
}

/**
 * Traffic control that sends what comes in on one link out of another: tc(8), tc-u32(8), tc-mirred(8).
 *
 * A qdisc `clsact`, and in it one u32 filter that takes every frame. linux/pkt_cls.h, pkt_sched.h, tc_act/tc_mirred.h.
 */
import {
  AF_UNSPEC,
  ETH_P_ALL,
  INGRESS_HANDLE,
  INGRESS_PARENT,
  NLM_F_CREATE,
  NLM_F_EXCL,
  RTM_DELQDISC,
  RTM_DELTFILTER,
  RTM_GETTFILTER,
  RTM_NEWQDISC,
  RTM_NEWTFILTER,
  TC_H_INGRESS,
  TCA,
} from "./constants.ts";
import { Attributes, fixedPart, type NetlinkMessage } from "./reader.ts";
import { BodyWriter, type NetlinkRequest } from "./writer.ts";

/** struct tcmsg. */
const FIXED_BYTES = 20;
const TCA_U32_SEL = 5;
const TCA_U32_ACT = 7;
const TC_U32_TERMINAL = 1;
const TCA_ACT_KIND = 1;
const TCA_ACT_OPTIONS = 2;
const TCA_MIRRED_PARMS = 2;
const TC_ACT_STOLEN = 4;
const TCA_EGRESS_REDIR = 1;

/** A filter of a qdisc. */
export interface FilterRecord {
  readonly kind: string;
  readonly priority: number;
}

/** Adds the qdisc for what comes in on a link. EEXIST: it has one already. */
export function addIngress(index: number): NetlinkRequest {
  const body = header(index, INGRESS_HANDLE, TC_H_INGRESS, 0).attributeText(TCA.KIND, "clsact");
  return { type: RTM_NEWQDISC, flags: NLM_F_CREATE | NLM_F_EXCL, body: body.finish() };
}

/** Removes it with all of its filters. */
export function deleteIngress(index: number): NetlinkRequest {
  return { type: RTM_DELQDISC, flags: 0, body: header(index, INGRESS_HANDLE, TC_H_INGRESS, 0).finish() };
}

/** Sends every frame that comes in on a link out of another one. @param priority names the filter, 1 to 0xfffe */
export function redirectIngress(index: number, to: number, priority: number): NetlinkRequest {
  const body = filterHeader(index, priority).attributeText(TCA.KIND, "u32");
  body.nested(TCA.OPTIONS, (options) => {
    options.attribute(TCA_U32_SEL, everyFrame());
    options.nested(TCA_U32_ACT, (actions) =>
      actions.nested(1, (action) => {
        action.attributeText(TCA_ACT_KIND, "mirred");
        action.nested(TCA_ACT_OPTIONS, (parameters) => parameters.attribute(TCA_MIRRED_PARMS, egressTo(to)));
      }),
    );
  });
  return { type: RTM_NEWTFILTER, flags: NLM_F_CREATE | NLM_F_EXCL, body: body.finish() };
}

/** Removes the filter of this priority. ENOENT: there is none; EINVAL: there is no qdisc, or the filter is of another kind. */
export function deleteRedirect(index: number, priority: number): NetlinkRequest {
  const body = filterHeader(index, priority).attributeText(TCA.KIND, "u32");
  return { type: RTM_DELTFILTER, flags: 0, body: body.finish() };
}

/** Dumps the filters for what comes in on a link. */
export function getIngressFilters(index: number): NetlinkRequest {
  return { type: RTM_GETTFILTER, flags: 0, body: header(index, 0, INGRESS_PARENT, 0).finish() };
}

/** Reads an RTM_NEWTFILTER. Throws FrameMalformed. */
export function filterOf({ body }: NetlinkMessage): FilterRecord {
  const info = fixedPart(body, FIXED_BYTES).getUint32(16, true);
  return { kind: new Attributes(body, FIXED_BYTES).text(TCA.KIND) ?? "", priority: info >>> 16 };
}

function filterHeader(index: number, priority: number): BodyWriter {
  // the protocol is in network order
  const info = (priority << 16) | (ETH_P_ALL << 8);
  return header(index, 0, INGRESS_PARENT, info);
}

function header(index: number, handle: number, parent: number, info: number): BodyWriter {
  return new BodyWriter().u8(AF_UNSPEC).zeros(3).u32(index).u32(handle).u32(parent).u32(info);
}

/** struct tc_u32_sel with one key that matches everything. */
function everyFrame(): Uint8Array {
  return new BodyWriter().u8(TC_U32_TERMINAL).u8(0).u8(1).zeros(13).zeros(16).finish();
}

/** struct tc_mirred. */
function egressTo(index: number): Uint8Array {
  return new BodyWriter().zeros(8).u32(TC_ACT_STOLEN).zeros(8).u32(TCA_EGRESS_REDIR).u32(index).finish();
}

/** Rules that choose a routing table: RTM_GETRULE. rtnetlink(7), linux/fib_rules.h, ip-rule(8). Read only. */
import { RTM_GETRULE, RTM_NEWRULE } from "./constants.ts";
import { Attributes, fixedPart, malformed, type NetlinkMessage } from "./reader.ts";
import { BodyWriter, type NetlinkRequest } from "./writer.ts";

/** struct fib_rule_hdr. */
const FIXED_BYTES = 12;
const FRA_PRIORITY = 6;
const FRA_TABLE = 15;

export interface RuleRecord {
  readonly family: number;
  readonly priority: number;
  /** RT_TABLE_*; 0 = none. */
  readonly table: number;
}

export function getRules(family: number): NetlinkRequest {
  return {
    type: RTM_GETRULE,
    flags: 0,
    body: new BodyWriter()
      .u8(family)
      .zeros(FIXED_BYTES - 1)
      .finish(),
  };
}

/** Reads an RTM_NEWRULE. Throws FrameMalformed. */
export function ruleOf(message: NetlinkMessage): RuleRecord {
  if (message.type !== RTM_NEWRULE) malformed(`a message of type ${message.type} among rules`);
  const fixed = fixedPart(message.body, FIXED_BYTES);
  const attributes = new Attributes(message.body, FIXED_BYTES);
  return {
    family: fixed.getUint8(0),
    priority: attributes.u32(FRA_PRIORITY) ?? 0,
    table: attributes.u32(FRA_TABLE) ?? fixed.getUint8(4),
  };
}

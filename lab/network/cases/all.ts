/**
 * All cases, by the room that they are in. Those that end the daemon come last.
 */
import type { NetworkCase } from "../case.ts";
import { BAD_INPUT_CASES } from "./bad-input.ts";
import { CAPTURE_CASES } from "./captures.ts";
import { CHANGE_CASES } from "./changes.ts";
import { CLEAN_UP_CASES } from "./clean-up.ts";
import { HOST_NETWORK_CASES } from "./host-network.ts";
import { LINK_CASES } from "./links.ts";
import { NAME_CASES } from "./names.ts";
import { PORT_FORWARD_CASES } from "./port-forward.ts";
import { STATS_CASES } from "./stats.ts";
import { TRAFFIC_CASES } from "./traffic.ts";

const ALL: readonly NetworkCase[] = [
  ...LINK_CASES,
  ...NAME_CASES,
  ...TRAFFIC_CASES,
  ...PORT_FORWARD_CASES,
  ...HOST_NETWORK_CASES,
  ...STATS_CASES,
  ...CAPTURE_CASES,
  ...BAD_INPUT_CASES,
  ...CHANGE_CASES,
  ...CLEAN_UP_CASES,
];

export const NETWORK_CASES: readonly NetworkCase[] = [
  ...ALL.filter(({ endsDaemon }) => endsDaemon === undefined),
  ...ALL.filter(({ endsDaemon }) => endsDaemon === true),
];

/**
 * The agent's log: all lines go to the console, warnings and errors also to the daemon as events.
 *
 * The console is slow, and meant for looking at a dead guest. Events are kept until the daemon has taken them, so their
 * number is limited.
 */
import * as sys from "sys";
import { createLogger, type Logger } from "../../../native/runtime/log.ts";
import { encode } from "../../../native/runtime/text-codec.ts";
import type { AgentLog } from "../../../src/protocol/guest/messages.ts";
import { isRecord } from "../../../src/protocol/wire/json.ts";

const STDERR = 2;
/** Events sent in one life of the agent. Later warnings and errors go to the console only. */
const MAX_EVENTS = 1000;
const MAX_MESSAGE = 2000;

/** A logger whose warnings and errors also go to `tell`. */
export function createAgentLogger(tell: (event: AgentLog) => void): Logger {
  let told = 0;
  return createLogger("agent", "info", (line) => {
    const bytes = encode(line);
    sys.write(STDERR, bytes.buffer, 0, bytes.length);
    const event = eventOf(line);
    if (event === undefined || told >= MAX_EVENTS) return;
    told++;
    tell(event);
  });
}

/** The event for a line: its message, container and error. Undefined for a line that is no warning or error. */
function eventOf(line: string): AgentLog | undefined {
  const fields: unknown = JSON.parse(line);
  if (!isRecord(fields)) return undefined;
  const { level, msg, error, container } = fields;
  if (level !== "warn" && level !== "error") return undefined;
  const about = typeof container === "string" ? ` (container ${container})` : "";
  const reason = isRecord(error) ? `: ${String(error["message"])}` : "";
  return { level, message: `${String(msg)}${about}${reason}`.slice(0, MAX_MESSAGE) };
}

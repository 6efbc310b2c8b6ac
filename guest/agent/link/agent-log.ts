/**
 * The agent's log: lines on the console, and what an operator should know of as events to the daemon.
 *
 * The console is slow and for post-mortems. Events are kept until the daemon has taken them, so there is a limit to
 * how many are made.
 */
import * as sys from "sys";
import { createLogger, type Logger } from "../../../native/runtime/log.ts";
import { encode } from "../../../native/runtime/text-codec.ts";
import type { AgentLog } from "../../../src/protocol/guest/messages.ts";
import { isRecord } from "../../../src/protocol/wire/json.ts";

const STDERR = 2;
/** Warnings and errors told to the daemon in one life of the agent; after these, only the console has them. */
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

/** What of a line goes to the daemon: the message, what it is about and the error behind it. */
function eventOf(line: string): AgentLog | undefined {
  const fields: unknown = JSON.parse(line);
  if (!isRecord(fields)) return undefined;
  const { level, msg, error, container } = fields;
  if (level !== "warn" && level !== "error") return undefined;
  const about = typeof container === "string" ? ` (container ${container})` : "";
  const reason = isRecord(error) ? `: ${String(error["message"])}` : "";
  return { level, message: `${String(msg)}${about}${reason}`.slice(0, MAX_MESSAGE) };
}

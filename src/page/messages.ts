/**
 * What the page's server and the page say to each other, beside the types of contracts/inspection.ts: JSON over HTTP.
 *
 * The page imports it, too: nothing of Node, nothing of a browser.
 */
import type { ChartDefinition, InspectionEvent } from "../contracts/inspection.ts";

/** Answer of `/api/hello`, the first question of the page. */
export interface Hello {
  readonly version: string;
  /** `offline`: there is no daemon, only journals and bundles are shown. */
  readonly mode: "live" | "offline";
  /** As the daemon's machines define them; offline, as the program's own do. */
  readonly charts: readonly ChartDefinition[];
}

/** One message of `/api/watch`. `from` is `fleet`, or the id of a sandbox whose entries were asked for. */
export interface StreamMessage {
  readonly from: string;
  readonly event: InspectionEvent;
}

/** The last message of `/api/watch`: why nothing more comes. */
export interface StreamEnd {
  readonly reason: string;
}

/** Body of every answer that is no success. */
export interface Refused {
  readonly code: string;
  readonly message: string;
}

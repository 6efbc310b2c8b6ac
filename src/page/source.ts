/**
 * What the page's server needs of a daemon: the part of the port Inspection that the page shows, from afar.
 *
 * The client of the inspection socket is one; so may be a fake. Nothing here may change a sandbox.
 */
import type { EventSource } from "../contracts/event-source.ts";
import type {
  ChartDefinition,
  InspectionEvent,
  LogName,
  NodeStatus,
  SandboxDetail,
  WatchFilter,
} from "../contracts/inspection.ts";

export interface PageSource {
  node(): Promise<NodeStatus>;
  get(id: string): Promise<SandboxDetail>;
  charts(): Promise<readonly ChartDefinition[]>;
  watch(filter: WatchFilter): EventSource<InspectionEvent>;
  logs(
    id: string,
    log: LogName,
    options: { readonly tailBytes: number; readonly follow: boolean },
  ): EventSource<Uint8Array>;
}

/**
 * Which chart of a sandbox is to be looked at: the one that waits, and has waited for the longest.
 */
import type {
  ChartKey,
  ChartName,
  ChartState,
  HistoryEntry,
  SandboxDetail,
} from "../../contracts/inspection.ts";
import { type Wait, waitOfEffect, waitOfState } from "./waits.ts";

/** What a sandbox waits for now. */
export interface Focus {
  readonly key: ChartKey;
  readonly chart: ChartName;
  readonly path: string;
  readonly since: number;
  /** Undefined: it waits for nothing. */
  readonly wait: Wait | undefined;
  /** The part of it that goes on, as far as it is known. */
  readonly step: HistoryEntry | undefined;
}

export function focusOf({ charts, history }: Pick<SandboxDetail, "charts" | "history">): Focus | undefined {
  const open = history.filter(({ kind, ms }) => ms === undefined && (kind === "effect" || kind === "step"));
  const all = charts.map((state) => focusOn(state, open));
  const [sandbox, boot] = all;
  const waiting = all.filter(({ wait, key }) => wait !== undefined && !(key === "sandbox" && hasBoot(all)));
  // what containerd has not asked for yet is not what a pod that is on its way waits for
  const busy = waiting.filter(({ wait }) => wait?.whose !== "containerd");
  const [first] = (busy.length > 0 ? busy : waiting).sort((one, other) => one.since - other.since);
  return first ?? (sandbox?.path === "booting" && boot !== undefined ? boot : sandbox);
}

function focusOn({ key, chart, active, since }: ChartState, open: readonly HistoryEntry[]): Focus {
  const path = active.at(-1) ?? "";
  const effects = open.filter((entry) => entry.kind === "effect" && entry.chart === key);
  // the last one is what the innermost state waits for
  const effect = effects.at(-1);
  const waits = effects.map(({ name }) => waitOfEffect(chart, name));
  const wait = waits.findLast((each) => each !== undefined) ?? waitOfState(chart, path);
  const ids = new Set(effects.map(({ id }) => id));
  const step = open.findLast(({ kind, cause }) => kind === "step" && cause !== undefined && ids.has(cause));
  return { key, chart, path, since: effect?.at ?? since, wait, step };
}

/** The sandbox's own wait for its boot says less than the boot's. */
function hasBoot(all: readonly Focus[]): boolean {
  const sandbox = all.find(({ key }) => key === "sandbox");
  return sandbox?.path === "booting" && all.some(({ key, wait }) => key === "boot" && wait !== undefined);
}

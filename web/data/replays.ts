/** Sandboxes that were read from journals and bundles; they live as long as the page. */
import type { ChartDefinition, SandboxDetail } from "../../src/contracts/inspection.ts";
import { Store } from "./store.ts";

export interface Replay {
  /** Stands for an id in routes. */
  readonly key: string;
  /** The file's name. */
  readonly file: string;
  readonly detail: SandboxDetail;
  /** By name; a journal has none. */
  readonly logs: Readonly<Record<string, string>>;
}

const PREFIX = "file~";

/** As the server has told them; a journal is read with them. */
export const knownCharts = new Store<readonly ChartDefinition[]>([]);

export const replays = new Store<readonly Replay[]>([]);

export function isReplay(id: string): boolean {
  return id.startsWith(PREFIX);
}

/** Adds sandboxes of a file; yields their keys. */
export function addReplays(file: string, read: readonly Pick<Replay, "detail" | "logs">[]): string[] {
  const before = replays.get();
  const added = read.map((each, index) => ({ ...each, key: `${PREFIX}${before.length + index}`, file }));
  replays.set([...before, ...added]);
  return added.map(({ key }) => key);
}

/** Sandboxes that were read from journals and bundles; they live as long as the page. */
import type { SandboxDetail } from "../../src/contracts/inspection.ts";
import { Store } from "./store.ts";

export interface Replay {
  /** Stands for an id in routes. */
  readonly key: string;
  /** The file's name. */
  readonly file: string;
  readonly detail: SandboxDetail;
}

const PREFIX = "file~";

export const replays = new Store<readonly Replay[]>([]);

export function isReplay(id: string): boolean {
  return id.startsWith(PREFIX);
}

/** Adds sandboxes of a file; yields their keys. */
export function addReplays(file: string, details: readonly SandboxDetail[]): string[] {
  const before = replays.get();
  const added = details.map((detail, index) => ({ key: `${PREFIX}${before.length + index}`, file, detail }));
  replays.set([...before, ...added]);
  return added.map(({ key }) => key);
}

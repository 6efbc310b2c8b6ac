/**
 * The names of a chart's parts as people read them: `done`, `after provision`, `ready.running`; never xstate's own.
 */
import type { ChartKey, ChartName } from "../contracts/inspection.ts";

const CHARTS: Readonly<Record<string, ChartName>> = {
  sandbox: "sandbox",
  vmBoot: "boot",
  container: "container",
  process: "process",
};

/** Of a machine's id; undefined if it is no chart of a sandbox. */
export function chartOfMachine(machineId: string): ChartName | undefined {
  return Object.hasOwn(CHARTS, machineId) ? CHARTS[machineId] : undefined;
}

export function chartOfKey(key: ChartKey): ChartName {
  if (key === "sandbox" || key === "boot") return key;
  return key.startsWith("container/") ? "container" : "process";
}

/** `done`, `failed`, `after provision`, "" for what is always taken and for the beginning; of other events their type. */
export function eventName(type: string): string {
  if (!type.startsWith("xstate.")) return type;
  const [, what, which = ""] = type.split(".");
  if (what === "after") return `after ${which}`;
  if (what === "done") return "done";
  return what === "error" ? "failed" : "";
}

/** `{ready: "running"}` → `ready.running`. Charts have no parallel states. */
export function statePath(value: unknown): string {
  if (typeof value === "string") return value;
  const [[name, inner] = ["", ""]] = Object.entries(value as Record<string, unknown>);
  return intern(`${name}.${statePath(inner)}`);
}

/** The sandbox's innermost state: while it boots, that of the boot's chart, such as `booting.adopting`. */
export function sandboxPath(sandbox: string, boot: string | undefined): string {
  return sandbox === "booting" && boot !== undefined ? intern(`booting.${boot}`) : sandbox;
}

/** `a.b.c` → `a`, `a.b`, `a.b.c`. */
export function activePaths(path: string): readonly string[] {
  if (path === "") return NONE;
  const known = active.get(path);
  if (known !== undefined) return known;
  const names = path.split(".");
  const found = names.map((_, index) => names.slice(0, index + 1).join("."));
  // a recording may be of anything
  if (active.size < MOST_KNOWN) active.set(path, found);
  return found;
}

/** Charts have some dozen paths. */
const MOST_KNOWN = 256;
const NONE: readonly string[] = [];
const active = new Map<string, readonly string[]>();

const paths = new Map<string, string>();

/** There are some dozen paths, and a history has one in each entry: each is in memory once. */
function intern(path: string): string {
  const known = paths.get(path);
  if (known !== undefined) return known;
  paths.set(path, path);
  return path;
}

/**
 * Reads a journal's text for people: whatever a crash, another version or another program has made of it.
 *
 * A line that is no line of a journal is counted and left out, and so is what of it is of the wrong type. Runs in a browser, so it
 * imports nothing of Node. The recovery of a daemon has a reader of its own (actors/resources/read-journal.ts).
 */
import type { ChartKey, HeldResource, HistoryEntry, SandboxSummary } from "../../contracts/inspection.ts";

/** What a journal says. */
export interface JournalText {
  /** "" if no line says it. */
  readonly sandboxId: string;
  readonly pod: SandboxSummary["pod"];
  readonly vcpus: number;
  readonly memoryBytes: number;
  readonly pid: number;
  readonly entries: readonly HistoryEntry[];
  /** Intended, and not undone. */
  readonly resources: readonly HeldResource[];
  readonly openedAt: number;
  /** Of the last line that can be read. */
  readonly lastAt: number;
  /** Lines that could not be read. */
  readonly unreadable: number;
}

type Fields = Readonly<Record<string, unknown>>;

const KINDS: ReadonlySet<unknown> = new Set(["call", "transition", "effect", "step", "note"]);
const CHART = /^(?:sandbox|boot|container\/[^/]+|process\/[^/]+\/[^/]*)$/;

export function readJournalText(text: string): JournalText {
  const reader = new Reader();
  for (const line of text.split("\n")) if (line.trim() !== "") reader.line(line);
  return reader;
}

class Reader implements JournalText {
  sandboxId = "";
  pod = { name: "", namespace: "", uid: "", attempt: 0 };
  vcpus = 0;
  memoryBytes = 0;
  pid = 0;
  openedAt = 0;
  lastAt = 0;
  unreadable = 0;
  readonly entries: HistoryEntry[] = [];
  private readonly held = new Map<number, HeldResource>();
  /** Where each chart has gone last: a file may be long, and each of its lines may ask. */
  private readonly places = new Map<ChartKey, string | undefined>();

  get resources(): readonly HeldResource[] {
    return [...this.held.values()];
  }

  line(line: string): void {
    const fields = parsed(line);
    if (fields === undefined || !this.take(fields)) this.unreadable += 1;
    else this.lastAt = Math.max(this.lastAt, numberOf(fields["at"]));
  }

  /** False: it is no line of a journal. */
  private take(fields: Fields): boolean {
    const at = numberOf(fields["at"]);
    switch (fields["type"]) {
      case "opened":
        this.sandboxId = textOf(fields["sandboxId"]);
        this.openedAt = at;
        return true;
      case "intent":
      case "amended":
        return this.intended(fields, at);
      case "undone":
        this.held.delete(numberOf(fields["ref"]));
        return true;
      case "fact":
        this.fact(textOf(fields["name"]), fields["value"]);
        return true;
      case "history":
        return this.happened(fields["entry"]);
      case "transition":
        return this.left(textOf(fields["state"]), at, numberOf(fields["ms"]));
      default:
        return false;
    }
  }

  private intended(fields: Fields, at: number): boolean {
    const resource = recordOf(fields["resource"]);
    const ref = numberOf(fields["ref"]);
    if (resource === undefined || ref === 0) return false;
    const since = this.held.get(ref)?.since ?? at;
    this.held.set(ref, { kind: textOf(resource["kind"]), description: described(resource), since });
    return true;
  }

  /** Of the facts only what is shown; others have values of environment variables. */
  private fact(name: string, value: unknown): void {
    const known = recordOf(value);
    if (known === undefined) return;
    if (name === "sandbox") {
      const { name: pod, namespace, uid, attempt } = known;
      this.pod = {
        ...{ name: textOf(pod), namespace: textOf(namespace), uid: textOf(uid) },
        attempt: numberOf(attempt),
      };
    }
    if (name !== "vm") return;
    const shape = recordOf(known["shape"]) ?? {};
    this.vcpus = numberOf(shape["vcpus"]);
    this.memoryBytes = numberOf(shape["memoryBytes"]);
    this.pid = numberOf(known["pid"]);
  }

  private happened(value: unknown): boolean {
    const entry = entryOf(value);
    if (entry === undefined) return false;
    this.entries.push(entry);
    if (entry.kind === "transition" && entry.chart !== undefined) this.places.set(entry.chart, entry.to);
    this.lastAt = Math.max(this.lastAt, entry.at + (entry.ms ?? 0));
    return true;
  }

  /** A line of daemons before there were histories: a state was left that was held for so long. */
  private left(state: string, at: number, ms: number): boolean {
    if (state === "") return false;
    const inBoot = state.startsWith("booting.");
    const chart: ChartKey = inBoot ? "boot" : "sandbox";
    const to = inBoot ? state.slice("booting.".length) : state;
    if (inBoot && !this.isIn("sandbox", "booting")) this.move("sandbox", "booting", at - ms);
    this.move(chart, to, at - ms);
    return true;
  }

  private isIn(chart: ChartKey, path: string): boolean {
    return this.places.get(chart) === path;
  }

  private move(chart: ChartKey, to: string, at: number): void {
    const from = this.places.get(chart) ?? "";
    this.places.set(chart, to);
    this.entries.push({ id: this.entries.length + 1, kind: "transition", chart, at, name: "", from, to });
  }
}

/** What of an entry is of the right type; undefined if it is none. */
export function entryOf(value: unknown): HistoryEntry | undefined {
  const fields = recordOf(value);
  if (fields === undefined || !KINDS.has(fields["kind"])) return undefined;
  const { id, kind, at, ms, name, cause, chart, from, to, error } = fields;
  if (!isNumber(id) || !isNumber(at) || typeof name !== "string") return undefined;
  return {
    ...{ id, kind: kind as HistoryEntry["kind"], at, name },
    ...(isNumber(ms) ? { ms } : {}),
    ...(isNumber(cause) ? { cause } : {}),
    ...(typeof chart === "string" && CHART.test(chart) ? { chart: chart as ChartKey } : {}),
    ...(typeof from === "string" ? { from } : {}),
    ...(typeof to === "string" ? { to } : {}),
    ...(typeof error === "string" ? { error } : {}),
  };
}

/** The fields by which the kinds of resources are told apart. */
function described(resource: Fields): string {
  const { kind, path, id, directories, plan, key } = resource;
  const container = recordOf(plan)?.["containerId"];
  const [first] = Array.isArray(directories) ? (directories as unknown[]) : [];
  const which = [path, id, container, first, key].find((each) => typeof each === "string");
  return which === undefined ? textOf(kind) : `${textOf(kind)} ${textOf(which)}`;
}

function parsed(line: string): Fields | undefined {
  try {
    return recordOf(JSON.parse(line));
  } catch {
    return undefined;
  }
}

function recordOf(value: unknown): Fields | undefined {
  return typeof value === "object" && value !== null && !Array.isArray(value) ? (value as Fields) : undefined;
}

function textOf(value: unknown): string {
  return typeof value === "string" ? value : "";
}

function isNumber(value: unknown): value is number {
  return typeof value === "number" && Number.isFinite(value);
}

function numberOf(value: unknown): number {
  return isNumber(value) ? value : 0;
}

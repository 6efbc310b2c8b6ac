/**
 * `blazar events`: what has happened, the newest last, and what happens.
 */
import { endOf, takesTime } from "../../charts/entries.ts";
import type { HistoryEntry, SandboxSummary } from "../../contracts/inspection.ts";
import { type Asked, Fleet, keepWatching, type Watching, type Write } from "../asked.ts";
import type { Screen } from "../screen.ts";
import { structuredLine } from "../structured.ts";
import { eventLine } from "./event-lines.ts";

export interface EventsView {
  readonly format: "table" | "json" | "yaml";
  /** Only of this sandbox. */
  readonly sandbox: SandboxSummary | undefined;
  /** Events of the past that are shown, at most. */
  readonly last: number;
}

/** Details that are asked for at once. */
const AT_ONCE = 16;

/** Writes the last events of the past. */
export async function pastEvents(
  daemon: Pick<Asked, "list" | "get">,
  { format, sandbox, last }: EventsView,
  screen: Screen,
  write: Write,
): Promise<void> {
  if (last === 0) return;
  const asked = sandbox === undefined ? await daemon.list() : [sandbox];
  const all: { readonly summary: SandboxSummary; readonly entry: HistoryEntry }[] = [];
  for (let index = 0; index < asked.length; index += AT_ONCE) {
    const some = asked.slice(index, index + AT_ONCE);
    const details = await Promise.allSettled(some.map(({ id }) => daemon.get(id)));
    for (const detail of details) {
      // one that is forgotten meanwhile has no past
      if (detail.status === "rejected") continue;
      const { summary, history } = detail.value;
      all.push(...history.filter(isTold).map((entry) => ({ summary, entry })));
    }
  }
  all.sort((a, b) => endOf(a.entry, 0) - endOf(b.entry, 0));
  for (const { summary, entry } of all.slice(-last)) write(lineOf(summary, entry, format, screen) ?? "");
}

/** Writes what happens, until the signal aborts. */
export async function followEvents(
  daemon: Pick<Asked, "watch">,
  { format, sandbox }: EventsView,
  screenNow: () => Screen,
  write: Write,
  watching: Pick<Watching, "signal" | "onGone">,
): Promise<void> {
  const fleet = new Fleet();
  const filter = { entries: true, ...(sandbox === undefined ? {} : { sandboxId: sandbox.id }) };
  await keepWatching(daemon, filter, {
    ...watching,
    onEvent: (event) => {
      fleet.take(event);
      if (event.type !== "entry" || !isTold(event.entry)) return;
      const summary = fleet.sandboxes.get(event.sandboxId) ?? unknown(event.sandboxId);
      const line = lineOf(summary, event.entry, format, screenNow());
      if (line !== undefined) write(line);
    },
  });
}

type Named = Pick<SandboxSummary, "id" | "pod">;

function lineOf(
  { id, pod }: Named,
  entry: HistoryEntry,
  format: EventsView["format"],
  screen: Screen,
): string | undefined {
  if (format === "table") return eventLine({ id, pod }, entry, screen);
  return structuredLine({ sandboxId: id, pod, entry }, format);
}

/** What goes on is told when it ends. */
function isTold(entry: HistoryEntry): boolean {
  return entry.ms !== undefined || !takesTime(entry);
}

function unknown(id: string): Named {
  return { id, pod: { name: "?", namespace: "?", uid: "", attempt: 0 } };
}

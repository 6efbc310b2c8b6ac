/**
 * What the reconciler has found, as findings of the doctor; and what the next daemon does about journals of a dead one.
 */
import { join } from "node:path";
import { originOf, readJournal } from "../../actors/resources/journal/read-journal.ts";
import { describeResource } from "../../actors/resources/kinds/kinds.ts";
import type { Difference, Reconciliation } from "../../contracts/reconcile.ts";
import { bootId } from "../../lib/processes/boot-id.ts";
import { type Finding, fault, type HostView, note, ok } from "./check.ts";

const NAME = "leftovers";
const JOURNAL = ".jsonl";
/** Leftovers of one journal that are named. */
const NAMED = 3;
/** Characters of an id that are shown. */
const SHOWN_ID = 12;
/** From this phase on a sandbox is taken over. */
const TAKEN_OVER = ["ready", "stopping", "stopped"];

/** @param byDaemon whether a daemon has looked, which does something about it by itself */
export function reconciliationFindings(
  { differences, unknown }: Reconciliation,
  byDaemon: boolean,
): Finding[] {
  const findings = [
    ...differences.map((difference) => findingOf(difference, byDaemon)),
    ...unknown.map((text) => note(NAME, `cannot look at ${text}`, "nothing is concluded from it")),
  ];
  if (findings.some(({ verdict }) => verdict !== "ok") || differences.length > 0) return findings;
  return [ok(NAME, "none: everything on the host is somebody's")];
}

function findingOf({ kind, text, action, state, error }: Difference, byDaemon: boolean): Finding {
  if (action === "")
    return kind === "journal" ? fault(NAME, text, "look, then remove the file") : note(NAME, text);
  const fix = "blazar doctor --fix";
  switch (state) {
    case "done":
      return ok(NAME, `${text}: ${fixed(action)}`);
    case "failed":
      return fault(NAME, `${text}: cannot be removed: ${error}`, `do what the error says, then ${fix}`);
    case "confirmed":
      return fault(NAME, `${text}: nobody holds it`, `${fix} ${action}`);
    case "new":
      if (!byDaemon) return fault(NAME, `${text}: no journal names it`, `${fix} ${action}`);
      return note(NAME, `${text}: nobody holds it yet`, `the daemon ${action} if it is still so in a minute`);
  }
}

/** `removes it` → `removed: it does so`. */
function fixed(action: string): string {
  return `it was nobody's: ${action}, which is done`;
}

/** Journals of a daemon that does not run any more. */
export async function journalFindings(host: HostView, stateDirectory: string): Promise<Finding[]> {
  const directory = join(stateDirectory, "journals");
  const names = ((await host.names(directory)) ?? []).filter((name) => name.endsWith(JOURNAL));
  const boot = await bootId();
  const findings: Finding[] = [];
  for (const name of names) {
    const content = readJournal((await host.read(join(directory, name))) ?? "");
    const { outstanding, facts, sandboxId } = content;
    if (outstanding.length === 0) continue;
    const id = (sandboxId === "" ? name.slice(0, -JOURNAL.length) : sandboxId).slice(0, SHOWN_ID);
    const phase = facts.get("phase") as { readonly phase?: unknown } | undefined;
    if (originOf(content, boot) === "here" && TAKEN_OVER.includes(String(phase?.phase))) {
      const text = `${id} may run on: the next daemon takes it over, or undoes what it has left`;
      findings.push(note(NAME, text, "start the daemon"));
      continue;
    }
    const named = outstanding.slice(0, NAMED).map(({ resource }) => describeResource(resource));
    const more = outstanding.length > NAMED ? ` and ${outstanding.length - NAMED} more` : "";
    findings.push(
      fault(NAME, `${id} has left ${named.join(", ")}${more}`, "start the daemon: it undoes them"),
    );
  }
  return findings;
}

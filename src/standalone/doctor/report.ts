/**
 * What `blazar doctor` prints: a line for each finding, faults first, each with what to do.
 */

import type { Screen } from "../../console/screen.ts";
import { padded } from "../../console/tables/table.ts";
import { harmless } from "../../lib/harmless.ts";
import type { Finding, Verdict } from "./check.ts";

const ORDER: readonly Verdict[] = ["fault", "note", "ok"];
const SIGNS: Readonly<Record<Verdict, string>> = { ok: "✓", note: "!", fault: "✗" };

export function findingsText(findings: readonly Finding[], { paint }: Screen): string {
  const colours: Readonly<Record<Verdict, (text: string) => string>> = {
    ok: paint.green,
    note: paint.yellow,
    fault: paint.red,
  };
  const width = Math.max(...findings.map(({ name }) => name.length));
  const sorted = [...findings].sort((a, b) => ORDER.indexOf(a.verdict) - ORDER.indexOf(b.verdict));
  const lines = sorted.flatMap(({ name, verdict, text, remedy }) => [
    `${colours[verdict](SIGNS[verdict])} ${padded(name, width)}  ${harmless(text)}`,
    ...(remedy === undefined ? [] : [`  ${" ".repeat(width)}  → ${harmless(remedy)}`]),
  ]);
  return [...lines, "", summary(findings)].map((line) => `${line}\n`).join("");
}

function summary(findings: readonly Finding[]): string {
  const faults = findings.filter(({ verdict }) => verdict === "fault").length;
  const notes = findings.filter(({ verdict }) => verdict === "note").length;
  const faulty = faults === 0 ? "all is well" : `${faults} ${faults === 1 ? "fault" : "faults"}`;
  return notes === 0 ? faulty : `${faulty}, ${notes} ${notes === 1 ? "note" : "notes"}`;
}

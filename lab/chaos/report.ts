/**
 * What a run of chaos tells in the end: for people, and as one line of JSON.
 */
import type { ChaosOutcome } from "./chaos.ts";
import type { FindingKind } from "./record.ts";

const FINDINGS: readonly FindingKind[] = ["lost", "doubled", "leaked", "stuck", "wrong"];

export function isClean({ record }: ChaosOutcome): boolean {
  return record.findings.length === 0;
}

/** One JSON object, without an end of line. */
export function chaosLine({ record, seed, seconds, kept }: ChaosOutcome): string {
  const { kills, pods, containers, execs, calls, refused, lines, bytes } = record;
  const counts = Object.fromEntries(FINDINGS.map((kind) => [kind, record.count(kind)]));
  return JSON.stringify({
    ...{ seed, seconds, kills, pods, containers, execs, calls, refused, lines, bytes },
    ...counts,
    ...(kept === undefined ? {} : { kept }),
  });
}

export function chaosText(outcome: ChaosOutcome): string {
  const { record, seed, seconds, kept } = outcome;
  const kills = Object.entries(record.kills).map(([kill, count]) => `${kill} ${count}`);
  const counts = FINDINGS.map((kind) => `${kind} ${record.count(kind)}`);
  return [
    ...record.findings.map(({ kind, atMs, text }) => `${(atMs / 1000).toFixed(3)} ${kind}: ${text}`),
    `seed ${seed}, ${seconds} s`,
    `kills: ${kills.join(", ")}`,
    `${record.pods} pods, ${record.containers} containers, ${record.execs} execs; ${record.calls} calls, ${record.refused} failed as they may`,
    `${record.bytes} bytes in ${record.lines} lines checked`,
    `${isClean(outcome) ? "✓" : "✗"} ${counts.join(", ")}`,
    ...(kept === undefined ? [] : [`logs and events are kept in ${kept}`]),
    "",
  ].join("\n");
}

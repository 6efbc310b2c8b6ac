/** A phase, and being stuck: by a shape and a word, not by colour alone. */
import type { SandboxSummary } from "../../src/contracts/inspection.ts";

export type Tone = "going" | "well" | "ending" | "over" | "bad" | "stuck";

const TONES: Readonly<Record<string, Tone>> = {
  creating: "going",
  created: "going",
  booting: "going",
  ready: "well",
  stopping: "ending",
  stopped: "over",
  failed: "bad",
};

export function toneOf(phase: string): Tone {
  return TONES[phase] ?? "over";
}

/** Of a sandbox as a whole: being stuck and having failed come before its phase. */
export function toneOfSandbox({ phase, stuck, failure }: SandboxSummary): Tone {
  if (stuck !== undefined) return "stuck";
  return failure === undefined ? toneOf(phase) : "bad";
}

export function PhaseBadge({ phase }: { readonly phase: string }) {
  return (
    <span className="badge" data-tone={toneOf(phase)}>
      <span className="dot" aria-hidden="true" />
      {phase}
    </span>
  );
}

export function StuckBadge() {
  return (
    <span className="badge" data-tone="stuck">
      <span className="dot" aria-hidden="true" />
      stuck
    </span>
  );
}

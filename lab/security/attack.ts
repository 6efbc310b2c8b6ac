/**
 * What an attack is: somebody with some rights tries something, and what has to hold is in its name.
 */
import type { PrivateNode } from "../node/private-node.ts";

/** Who tries. */
export type Attacker = "a guest" | "an escaped VMM" | "a local user" | "a client" | "an operator";

/** What attacks have to work with. */
export interface Ground {
  readonly node: PrivateNode;
  /** The bundled product. */
  readonly program: string;
  /** A directory that goes after the run. */
  readonly scratch: string;
  /** The hostile pod and its one container, made anew for each attack that asks for it. */
  hostile(): Promise<{ readonly pod: string; readonly container: string }>;
  /** Runs a command as root of the hostile pod's guest, outside of all containers; bounded. */
  inGuest(pod: string, script: string): Promise<string>;
  readonly signal: AbortSignal;
}

export interface Attack {
  /** What has to hold. */
  readonly name: string;
  readonly by: Attacker;
  /** Resolves with what the attacker got; undefined = it held. A throw counts as got: nobody knows what happened. */
  tryIt(ground: Ground): Promise<string | undefined>;
}

/** Of answers by name, those that are not refusals. */
export function gotThrough(
  answers: ReadonlyMap<string, string>,
  harmless: readonly string[],
): string | undefined {
  const got = [...answers].filter(([name, answer]) => answer === "yes" && !harmless.includes(name));
  return got.length === 0 ? undefined : got.map(([name]) => name).join(", ");
}

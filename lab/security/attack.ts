/**
 * What an attack is: somebody with some rights tries something, and what has to hold is in its name.
 *
 * An attack that cannot succeed shows nothing. So each one sees for itself that it took place: that its words arrived, or that
 * somebody with more rights gets what it does not get. If it did not, it throws, and that counts as a success of the attacker.
 */
import type { PrivateNode } from "../node/private-node.ts";
import type { Programs } from "./programs.ts";

/** Who tries. */
export type Attacker = "a guest" | "an escaped VMM" | "a local user" | "a client" | "an operator";

/** A pod that attacks come from, and its one container. */
export interface HostilePod {
  readonly pod: string;
  readonly container: string;
}

/** What attacks have to work with. */
export interface Ground {
  readonly node: PrivateNode;
  /** The bundled product. */
  readonly program: string;
  readonly programs: Programs;
  /** A directory that goes after the run. */
  readonly scratch: string;
  /** Made anew for each attack that asks for one. */
  readonly hostile: HostilePod;
  /** Runs a command of `blazar` on this node to its end; bounded. Resolves with all that it printed. */
  blazar(words: readonly string[], signal?: AbortSignal): Promise<string>;
  readonly signal: AbortSignal;
}

export interface Attack {
  /** What has to hold. */
  readonly name: string;
  readonly by: Attacker;
  /** It needs no pod of its own. */
  readonly withoutPod?: boolean;
  /** Resolves with what the attacker got; undefined = it held. A throw counts as got: nobody knows what happened. */
  tryIt(ground: Ground): Promise<string | undefined>;
}

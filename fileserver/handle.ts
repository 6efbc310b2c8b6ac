import type { Node } from "./nodes.ts";

/** A file or a directory that the guest has open. */
export interface Handle {
  readonly node: Node;
  readonly fd: number;
}

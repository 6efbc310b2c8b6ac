/**
 * What looks at the host find, before anybody has asked whose it is.
 */
import type { HostResource } from "../resources/kinds/kinds.ts";

/** Something that is ours by name and place. */
export interface Found {
  readonly kind: string;
  /** The same for the same thing at every look. */
  readonly key: string;
  /** For people: what it is, and which. */
  readonly text: string;
  /** By which a journal may name it; undefined: no journal can. */
  readonly resource: HostResource | undefined;
  /** What it is a part of: it is somebody's if one of these is. */
  readonly within?: readonly HostResource[] | undefined;
  /** What {@link remedy} does, as a sentence without a subject; "" if nothing may be done. */
  readonly action: string;
  /** Does something about it. Undefined: undoes the resource. */
  readonly remedy?: (() => Promise<void>) | undefined;
}

/** A look at one kind of thing. Throws what cannot be seen: nothing is concluded then. */
export type Look = () => Promise<readonly Found[]>;

export const REMOVES = "removes it";

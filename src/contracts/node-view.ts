/**
 * The port by which the reconciler looks at the host. It lists what is ours by name and place, and changes nothing.
 *
 * A look that fails throws: nothing is concluded from what could not be seen. What is not there is an empty list.
 */

/** A name in a directory. */
export interface PlacedName {
  readonly name: string;
  readonly isDirectory: boolean;
  readonly isFile: boolean;
  readonly uid: number;
  /** Time of the last change of the inode, milliseconds since the epoch. */
  readonly changedAt: number;
}

/** A control group without processes, and without groups below it. */
export interface EmptyGroup {
  /** Its name, which is a sandbox's id. */
  readonly name: string;
  /** One in each hierarchy. */
  readonly directories: readonly string[];
}

/** A process with a file of ours open, whoever its parent is. */
export interface OwnProcess {
  readonly pid: number;
  readonly startTime: number;
  /** Its parent, the parent of that one, and so on. */
  readonly ancestors: readonly number[];
  /** Those below one of the directories that it has open. */
  readonly files: readonly string[];
}

export interface NodeView {
  names(directory: string): Promise<readonly PlacedName[]>;
  /** Mount points below a directory, in the namespace of this process. */
  mounts(directory: string): Promise<readonly string[]>;
  /** Below the group of this daemon's sandboxes that have no parent group. */
  emptyGroups(): Promise<readonly EmptyGroup[]>;
  /** Processes of the VMMs' users with a file open below one of these directories. */
  processes(directories: readonly string[]): Promise<readonly OwnProcess[]>;
  /**
   * Paths of named network namespaces in which a link's frames are sent to a tap of ours that is gone. Namespaces that are
   * `known` are not looked into.
   */
  deadJoints(known: (path: string) => boolean): Promise<readonly string[]>;
}

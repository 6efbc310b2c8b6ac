/**
 * What a bind mount is a part of: proc_pid_mountinfo(5).
 *
 * kubelet binds a part of a volume (subPath) somewhere else. Its mount has the device of the whole, and as its root the path
 * of the part in that file system. Pure.
 */

/** Where a part is from. */
export interface MountOrigin {
  /** The path of the part below the whole; without a mount of the whole, its path in its file system. */
  readonly path: string;
  /** Where the whole is mounted; undefined where it is no mount of its own. */
  readonly mountPoint: string | undefined;
}

interface Line {
  readonly device: string;
  readonly root: string;
  readonly mountPoint: string;
}

/** Undefined if nothing is mounted at the path. */
export function originOf(mountPoint: string, mountinfo: string): MountOrigin | undefined {
  const lines = mountinfo.split("\n").flatMap(readLine);
  const part = lines.findLast((line) => line.mountPoint === mountPoint);
  if (part === undefined) return undefined;
  const wholes = lines.filter(
    (line) => line !== part && line.device === part.device && isBelow(part.root, line.root),
  );
  // the one with the longest root is the nearest; of several places of it, the first is where it was mounted
  const nearest = Math.max(...wholes.map(({ root }) => root.length));
  const whole = wholes.find((line) => line.root.length === nearest && line.root !== part.root);
  if (whole === undefined) return { path: part.root, mountPoint: undefined };
  const rest = part.root.slice(whole.root === "/" ? 0 : whole.root.length);
  return { path: join(whole.mountPoint, rest), mountPoint: whole.mountPoint };
}

function readLine(line: string): Line[] {
  const [, , device, root, mountPoint] = line.split(" ");
  if (device === undefined || root === undefined || mountPoint === undefined) return [];
  return [{ device, root: unescapedPath(root), mountPoint: unescapedPath(mountPoint) }];
}

function isBelow(path: string, root: string): boolean {
  return root === "/" || path === root || path.startsWith(`${root}/`);
}

function join(directory: string, rest: string): string {
  return directory === "/" ? rest : `${directory}${rest}`;
}

/** A path as mountinfo has it: blanks and backslashes are octal numbers there. */
export function unescapedPath(name: string): string {
  return name.replace(/\\([0-3][0-7]{2})/g, (_, digits: string) =>
    String.fromCharCode(Number.parseInt(digits, 8)),
  );
}

/**
 * Reads the text of /proc/PID/mountinfo (proc_pid_mountinfo(5)): all mounts, or those below a path.
 *
 * Space, tab, newline and backslash in names are escaped in octal there. Pure: takes the text, returns records.
 */

/** One mount. */
export interface MountEntry {
  /** Where it is in this mount namespace. */
  readonly mountPoint: string;
  /** `overlay`, `cgroup`, … */
  readonly type: string;
  readonly source: string;
  /** Options of this mount (`ro,nosuid`), and of the filesystem (`rw,memory`). */
  readonly options: readonly string[];
  readonly superOptions: readonly string[];
}

/** In the kernel's order: a mount comes after the one that it covers. Malformed lines are left out. */
export function parseMountinfo(text: string): MountEntry[] {
  const entries: MountEntry[] = [];
  for (const line of text.split("\n")) {
    const fields = line.split(" ");
    const separator = fields.indexOf("-", 6);
    const mountPoint = fields[4];
    const type = fields[separator + 1];
    if (separator < 0 || mountPoint === undefined || type === undefined) continue;
    entries.push({
      mountPoint: unescapeOctal(mountPoint),
      type,
      source: unescapeOctal(fields[separator + 2] ?? ""),
      options: (fields[5] ?? "").split(","),
      superOptions: (fields[separator + 3] ?? "").split(","),
    });
  }
  return entries;
}

/** Mount points at or below `directory` (an absolute path without symlinks), in the order to unmount them. */
export function mountPointsBelow(text: string, directory: string): string[] {
  const inside = directory === "/" ? "/" : `${directory}/`;
  const found = parseMountinfo(text)
    .map((entry) => entry.mountPoint)
    .filter((point) => point === directory || point.startsWith(inside));
  // the deepest first; of two at one place the later one first, since it covers the other
  return found
    .map((point, index) => ({ point, index, depth: point.split("/").length }))
    .sort((a, b) => b.depth - a.depth || b.index - a.index)
    .map(({ point }) => point);
}

function unescapeOctal(name: string): string {
  if (!name.includes("\\")) return name;
  const bytes: number[] = [];
  const raw = Buffer.from(name);
  for (let at = 0; at < raw.length; at++) {
    const octal = raw[at] === 0x5c ? raw.toString("latin1", at + 1, at + 4) : "";
    const escaped = /^[0-3][0-7]{2}$/.test(octal);
    bytes.push(escaped ? Number.parseInt(octal, 8) : (raw[at] ?? 0));
    if (escaped) at += 3;
  }
  return Buffer.from(bytes).toString();
}

/**
 * A pseudo terminal from the container's own devpts: pty(7), pts(4).
 *
 * The child opens it, so that every path is resolved in the container's root, and sends the master to the agent.
 */
import * as sys from "sys";
import { check, failure } from "../../../native/runtime/check.ts";
import type { MountPoints } from "../root/mount-points.ts";

/**
 * Opens a terminal as this process's controlling terminal and stdio; the process must lead its session. With `console`,
 * the terminal is mounted at /dev/console, too. Returns the master. Throws.
 */
export function openTerminal(rows: number, columns: number, console: MountPoints | undefined): number {
  const master = sys.open("/dev/pts/ptmx", sys.O_RDWR | sys.O_NOCTTY);
  if (master < 0) {
    throw failure(master, "InvalidSpec", "open a terminal of the container's devpts", "/dev/pts/ptmx");
  }
  check(sys.unlockPty(master), "unlock a terminal");
  const slave = check(sys.openPtyPeer(master), "open a terminal");
  if (rows > 0 && columns > 0) check(sys.setWindowSize(master, rows, columns), "set a window size");
  check(sys.setControllingTty(slave), "take a controlling terminal");
  for (const fd of [0, 1, 2]) check(sys.dup2(slave, fd), "take a terminal for stdio");
  if (console !== undefined)
    putConsole(console, check(sys.ptyNumber(master), "get the number of a terminal"));
  if (slave > 2) sys.close(slave);
  return master;
}

function putConsole(points: MountPoints, number: number): void {
  const tree = sys.openTree(sys.AT_FDCWD, `/dev/pts/${number}`, sys.OPEN_TREE_CLONE);
  const point = points.make("/dev/console", false);
  const flags = sys.MOVE_MOUNT_F_EMPTY_PATH | sys.MOVE_MOUNT_T_EMPTY_PATH;
  check(sys.moveMount(check(tree, "clone a terminal"), "", point, "", flags), "mount /dev/console");
  sys.close(tree);
  sys.close(point);
}

/**
 * Files that QEMU opens by a number: QMP's add-fd and remove-fd, `/dev/fdset/N` in place of a path.
 *
 * QEMU keeps a set as long as something has it open. It is given up in the same breath, so that nothing has to be
 * remembered: the file is closed with the last that uses it.
 */
import { randomInt } from "node:crypto";
import { constants } from "node:fs";
import type { QmpClient, QmpCommand } from "../qmp/client.ts";

/** Below are those of the command line. Another daemon's sets may still be there, so a number is drawn, not counted. */
const FIRST_DRAWN = 1024;
const LAST_DRAWN = 2 ** 31 - 1;

/** What QEMU takes as a file's path. */
export function fileSetPath(set: number): string {
  return `/dev/fdset/${set}`;
}

/**
 * Opens a file and runs the commands that `use` makes of its name in QEMU. Later commands run even if one fails.
 * Resolves with what they return; rejects as `QmpClient.executeWithFile` does.
 */
export async function executeWithFile(
  qmp: QmpClient,
  { path, readonly }: { readonly path: string; readonly readonly: boolean },
  use: (filename: string) => readonly QmpCommand[],
  deadlineMs: number,
): Promise<unknown[]> {
  const set = randomInt(FIRST_DRAWN, LAST_DRAWN);
  const flags = readonly ? constants.O_RDONLY : constants.O_RDWR;
  const args = { "fdset-id": set };
  const commands = [{ command: "add-fd", args }, ...use(fileSetPath(set)), { command: "remove-fd", args }];
  const answers = await qmp.executeWithFile({ kind: "file", path, flags }, commands, deadlineMs);
  return answers.slice(1, -1);
}

/** Gives up a set of the command line: its file is closed with the last that uses it, as a disk's is with the disk. */
export async function forgetFileSet(qmp: QmpClient, set: number): Promise<void> {
  await qmp.execute("remove-fd", { "fdset-id": set });
}

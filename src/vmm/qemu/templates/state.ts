/**
 * Saves a running VM's devices into a file; its memory is a file already (QEMU: docs/devel/migration, x-ignore-shared).
 *
 * QEMU may start no program and open no path, so it is handed the file. The VM is saved while it runs and stands still
 * afterwards: its clones then run as soon as they have loaded.
 */
import { constants } from "node:fs";
import { chmod, writeFile } from "node:fs/promises";
import { type BlazarError, blazarError } from "../../../contracts/errors.ts";
import { pause, throwIfAborted } from "../../../lib/async.ts";
import { isRecord } from "../../../protocol/wire/json.ts";
import type { QmpClient } from "../qmp/client.ts";
import { IGNORE_SHARED } from "./restore.ts";

const POLL_MS = 2;
/** What QEMU calls the file. */
const NAME = "state";

export interface SaveOptions {
  /** It is made. */
  readonly file: string;
  readonly signal: AbortSignal;
  /** For the commands. */
  readonly commandMs: number;
}

/** Throws QmpFailed, StorageFailed, or Cancelled at the abort; half a file may be left. */
export async function saveState(qmp: QmpClient, { file, signal, commandMs }: SaveOptions): Promise<void> {
  await writeFile(file, "", { mode: 0o600, flag: "wx" });
  const commands = [
    { command: "getfd", args: { fdname: NAME } },
    { command: "migrate-set-capabilities", args: IGNORE_SHARED },
    { command: "migrate", args: { uri: `fd:${NAME}` } },
  ];
  await qmp.executeWithFile({ kind: "file", path: file, flags: constants.O_WRONLY }, commands, commandMs);
  await migrated(qmp, signal);
  await chmod(file, 0o444);
}

async function migrated(qmp: QmpClient, signal: AbortSignal): Promise<void> {
  for (;;) {
    const answer = await qmp.execute("query-migrate");
    const { status, "error-desc": reason } = isRecord(answer) ? answer : {};
    if (status === "completed") return;
    if (status === "failed" || status === "cancelled") throw saveFailed(String(reason ?? status));
    await pause(POLL_MS, signal);
    throwIfAborted(signal, { operation: "save the VM" });
  }
}

function saveFailed(reason: string): BlazarError {
  return blazarError("QmpFailed", "save the VM", reason);
}

/**
 * Saves a running VM's devices into a file; its memory is a file already (QEMU: docs/devel/migration, x-ignore-shared).
 *
 * QEMU may start no program to pipe the state through, and cannot be handed a descriptor to write to. So it sends the state
 * to a socket that is read here. The VM is saved while it runs and stands still afterwards: its clones then run as soon as
 * they have loaded.
 */
import { once } from "node:events";
import { createWriteStream } from "node:fs";
import { rm } from "node:fs/promises";
import net from "node:net";
import { pipeline } from "node:stream/promises";
import { type BlazarError, blazarError } from "../../../contracts/errors.ts";
import { pause, throwIfAborted } from "../../../lib/async.ts";
import { isRecord } from "../../../protocol/wire/json.ts";
import type { QmpClient } from "../qmp/client.ts";
import { IGNORE_SHARED } from "./restore.ts";

const POLL_MS = 2;

export interface SaveOptions {
  /** Where the socket is made; QEMU's user may reach it. */
  readonly socket: string;
  /** What QEMU's user must own to connect; undefined = nothing to do. */
  readonly admit: (socket: string) => Promise<void>;
  readonly file: string;
  readonly signal: AbortSignal;
}

/** Throws QmpFailed, or Cancelled or AbortError at the abort; half a file may be left. */
export async function saveState(qmp: QmpClient, options: SaveOptions): Promise<void> {
  const { socket, file, signal } = options;
  const receiver = new net.Server({ allowHalfOpen: false });
  receiver.maxConnections = 1;
  const received = once(receiver, "connection", { signal }).then(([connection]: net.Socket[]) => {
    if (connection === undefined) throw saveFailed("QEMU did not connect");
    return pipeline(connection, createWriteStream(file, { mode: 0o444, flags: "wx" }), { signal });
  });
  received.catch(() => undefined);
  try {
    receiver.listen(socket);
    await once(receiver, "listening", { signal });
    await options.admit(socket);
    await qmp.execute("migrate-set-capabilities", IGNORE_SHARED);
    await qmp.execute("migrate", { uri: `unix:${socket}` });
    await migrated(qmp, signal);
    await received;
  } finally {
    receiver.close();
    await rm(socket, { force: true });
  }
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

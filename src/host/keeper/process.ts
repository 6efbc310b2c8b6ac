/**
 * Starts a keeper where no service manager does: `blazar serve` on its own, demos, tests.
 *
 * The keeper is detached from this process (its own session, no inherited descriptors but its log file), because
 * it has to outlive it. Under systemd it is a unit and nothing here is used.
 */
import { spawn } from "node:child_process";
import { closeSync, openSync } from "node:fs";
import { readFile } from "node:fs/promises";
import { createConnection } from "node:net";
import path from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { type BlazarError, blazarError } from "../../contracts/errors.ts";
import type { Logger } from "../../contracts/logger.ts";

const READY_TIMEOUT_MS = 5_000;
const PROBE_MS = 10;
/** What an operator is shown of a failed keeper's log. */
const SHOWN_LOG_CHARACTERS = 2_000;

export interface StartKeeperOptions {
  /** The keeper's static binary. */
  readonly binary: string;
  /** Paths of its sockets; their directories exist. */
  readonly control: string;
  readonly task: string;
  readonly log: Logger;
  /** Where the keeper's own lines go. Default: `keeper.log` beside the control socket. */
  readonly logFile?: string;
}

export interface KeeperProcess {
  readonly pid: number;
  readonly logFile: string;
}

/** Whether a keeper answers on its control socket. Does not disturb the daemon that it serves. */
export function keeperAnswers(control: string): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = createConnection({ path: control });
    socket.on("connect", () => {
      socket.destroy();
      resolve(true);
    });
    socket.on("error", () => resolve(false));
  });
}

/**
 * Starts a keeper and waits until it answers. Throws DependencyMissing (no binary), HostResource (one
 * runs already) or KeeperLost (with its log).
 */
export async function startKeeper(options: StartKeeperOptions): Promise<KeeperProcess> {
  const { binary, control, task, log } = options;
  if (await keeperAnswers(control)) {
    throw blazarError("HostResource", "start the keeper", "one answers there already", {
      subject: control,
      remedy: "connect to it, or end it first",
    });
  }
  const logFile = options.logFile ?? path.join(path.dirname(control), "keeper.log");
  const output = openSync(logFile, "a", 0o600);
  const child = spawn(binary, ["--control", control, "--task", task], {
    detached: true,
    stdio: ["ignore", "ignore", output],
  });
  closeSync(output);
  let ended: string | undefined;
  let missing: Error | undefined;
  child.once("error", (error) => {
    missing = error;
  });
  child.once("exit", (code, signal) => {
    ended = `it ended with ${signal ?? `status ${code}`}`;
  });
  child.unref();
  const deadline = performance.now() + READY_TIMEOUT_MS;
  while (!(await keeperAnswers(control))) {
    if (missing !== undefined) throw notStarted(binary, missing);
    if (ended !== undefined) throw await failed(ended, logFile);
    if (performance.now() > deadline) {
      child.kill("SIGKILL");
      throw await failed(`it did not answer within ${READY_TIMEOUT_MS} ms`, logFile);
    }
    await delay(PROBE_MS);
  }
  // Another may have come first: then this one has given way.
  if (ended !== undefined || child.pid === undefined) throw await failed(ended ?? "it is gone", logFile);
  log.info({ pid: child.pid, control, task, logFile }, "keeper started");
  return { pid: child.pid, logFile };
}

function notStarted(binary: string, cause: Error): BlazarError {
  return blazarError("DependencyMissing", "start the keeper", cause.message, {
    subject: binary,
    remedy: "run: npm run setup",
    cause,
  });
}

async function failed(reason: string, logFile: string): Promise<BlazarError> {
  const text = await readFile(logFile, "utf8").catch(() => "");
  const shown = text.slice(-SHOWN_LOG_CHARACTERS).trim();
  return blazarError("KeeperLost", "start the keeper", shown === "" ? reason : `${reason}: ${shown}`, {
    subject: logFile,
  });
}

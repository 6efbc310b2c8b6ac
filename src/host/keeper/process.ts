/**
 * Starts a keeper where no service manager does: `blazar serve` on its own, demos, tests.
 *
 * The keeper has to outlive this process, so it is detached from it: a session of its own, and no inherited descriptor but
 * its log file. Under systemd the keeper is a unit, and nothing here is used.
 */
import { spawn } from "node:child_process";
import { closeSync, openSync } from "node:fs";
import { readdir, readFile } from "node:fs/promises";
import path from "node:path";
import { type BlazarError, blazarError } from "../../contracts/errors.ts";
import type { Logger } from "../../contracts/logger.ts";
import { pause } from "../../lib/async.ts";
import { connectUnix } from "../../lib/sockets/unix-socket.ts";

const READY_TIMEOUT_MS = 5_000;
const PROBE_MS = 10;
const SILENT_PROBE_MS = 200;
/** A keeper whose socket's file was removed makes it anew within this time. */
const REMADE_MS = 10_000;
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
  return connectUnix(control).then(
    (socket) => {
      socket.destroy();
      return true;
    },
    () => false,
  );
}

/**
 * Starts a keeper and waits until it answers. Throws DependencyMissing (no binary), HostResource (one
 * runs already) or KeeperLost (with its log).
 */
export async function startKeeper(options: StartKeeperOptions): Promise<KeeperProcess> {
  const { binary, control, task, log } = options;
  if (await keeperAnswers(control)) {
    const remedy = "connect to it, or end it first";
    throw blazarError("HostResource", "start the keeper", "one answers there already", {
      subject: control,
      remedy,
    });
  }
  const logFile = options.logFile ?? path.join(path.dirname(control), "keeper.log");
  const running = await awaitSilent(control);
  if (running !== undefined) return { pid: running, logFile };
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
    await pause(PROBE_MS);
  }
  // Another may have come first: then this one has given way.
  if (ended !== undefined || child.pid === undefined) throw await failed(ended ?? "it is gone", logFile);
  log.info({ pid: child.pid, control, task, logFile }, "keeper started");
  return { pid: child.pid, logFile };
}

/**
 * A second keeper would have the pods' containers end, so one that runs without its socket is waited for. Undefined: none runs.
 * Throws KeeperLost.
 */
async function awaitSilent(control: string): Promise<number | undefined> {
  const deadline = performance.now() + REMADE_MS;
  for (;;) {
    const pid = await keeperProcess(control);
    if (pid === undefined || (await keeperAnswers(control))) return pid;
    if (performance.now() > deadline) {
      const remedy = `if it is stopped: kill -CONT ${pid}; ending it ends the containers of all pods`;
      const reason = `process ${pid} is the keeper and does not answer: its socket was removed`;
      throw blazarError("KeeperLost", "start the keeper", reason, { subject: control, remedy });
    }
    await pause(SILENT_PROBE_MS);
  }
}

/** The process that was started as the keeper of this control socket, and runs. */
export async function keeperProcess(control: string): Promise<number | undefined> {
  for (const name of await readdir("/proc")) {
    if (!/^\d+$/.test(name)) continue;
    const words = (await readFile(`/proc/${name}/cmdline`, "utf8").catch(() => "")).split("\0");
    const at = words.indexOf("--control");
    if (at > 0 && words[at + 1] === control && words.includes("--task")) return Number(name);
  }
  return undefined;
}

function notStarted(binary: string, cause: Error): BlazarError {
  const remedy = "run: npm run setup";
  return blazarError("DependencyMissing", "start the keeper", cause.message, {
    subject: binary,
    remedy,
    cause,
  });
}

async function failed(reason: string, logFile: string): Promise<BlazarError> {
  const text = await readFile(logFile, "utf8").catch(() => "");
  const shown = text.slice(-SHOWN_LOG_CHARACTERS).trim();
  const said = shown === "" ? reason : `${reason}: ${shown}`;
  return blazarError("KeeperLost", "start the keeper", said, { subject: logFile });
}

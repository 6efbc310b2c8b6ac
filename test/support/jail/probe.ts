/** The program that tries what no process in a jail may do: built by the compiler that set-up uses, and run by a keeper. */
import { execFile } from "node:child_process";
import { constants } from "node:fs";
import { chmod, readFile } from "node:fs/promises";
import path from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import type { Jail, Keeper, ProcessSpawn } from "../../../src/contracts/keeper.ts";

const SOURCE = fileURLToPath(new URL("./probe.c", import.meta.url));
const LEAST_WAIT_MS = 400;

/** Compiles the probe into a directory. Returns its path. */
export async function buildProbe(directory: string): Promise<string> {
  const program = path.join(directory, "probe");
  await promisify(execFile)("musl-gcc", ["-static", "-O1", "-o", program, SOURCE]);
  await chmod(program, 0o755);
  return program;
}

export interface ProbeRun {
  readonly keeper: Keeper;
  readonly program: string;
  /** A directory for what it prints. */
  readonly directory: string;
  readonly jail: Jail;
  readonly user: { readonly uid: number; readonly gid: number };
  /** Processes outside of the jail that it tries to reach. */
  readonly pids?: readonly number[];
  readonly extra?: Partial<ProcessSpawn>;
}

/** Runs the probe in a jail that is sealed before it tries anything. Resolves with its answers by name. */
export async function runProbe(run: ProbeRun): Promise<ReadonlyMap<string, string>> {
  const { keeper, program, directory, jail, user, pids = [] } = run;
  const output = path.join(directory, `probe-${Date.now()}`);
  const flags = constants.O_WRONLY | constants.O_CREAT;
  const own = { source: program, target: program, readonly: true, follow: false, temporary: true };
  await keeper.spawn({
    id: "probe",
    argv: [program, String(LEAST_WAIT_MS), ...pids.map(String)],
    env: [],
    cwd: "/",
    ...user,
    groups: [],
    capabilities: [],
    files: [{ fd: 1, path: output, flags, mode: 0o600 }],
    cgroups: [],
    rlimits: [],
    jail: { ...jail, mounts: [...jail.mounts, own] },
    ...run.extra,
  });
  await keeper.seal("probe");
  const exit = await keeper.exited("probe");
  await keeper.forget("probe");
  if (exit.code !== 0) throw new Error(`the probe ended with ${exit.code}, signal ${exit.signal}`);
  const lines = (await readFile(output, "utf8")).split("\n").filter((line) => line !== "");
  return new Map(lines.map((line) => line.split("\t", 2) as [string, string]));
}

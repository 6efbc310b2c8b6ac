/**
 * How the measured blazard is run: as its unit runs it (deploy/blazar.service), on its own copy of the Node binary.
 *
 * On the machine's binary it would share its text with this process, npm and set-up. That would hide half of its
 * memory.
 */
import { copyFile, readFile } from "node:fs/promises";
import { join } from "node:path";
import { repoRoot } from "../../setup/lib/paths.ts";
import type { NodeRuntime } from "./private-node.ts";

/** A copy of the Node binary in a directory, with the options and the environment of blazard's unit. */
export async function runtimeOfBlazard(directory: string): Promise<NodeRuntime> {
  const program = join(directory, "node");
  await copyFile(process.execPath, program);
  const unit = await readFile(join(repoRoot(), "deploy", "blazar.service"), "utf8");
  return { program, ...settingsOfUnit(unit) };
}

/** Node's options and the variables in a unit (systemd.service(5), systemd.exec(5)). */
export function settingsOfUnit(unit: string): Omit<NodeRuntime, "program"> {
  const [, options = ""] = /^ExecStart=\S*node((?: --\S+)*) /m.exec(unit) ?? [];
  const assignments = [...unit.matchAll(/^Environment=(.*)$/gm)].flatMap(([, line = ""]) => line.split(" "));
  const env = assignments
    .filter((assignment) => assignment.includes("="))
    .map((assignment) => [
      assignment.slice(0, assignment.indexOf("=")),
      assignment.slice(assignment.indexOf("=") + 1),
    ]);
  return {
    args: options.split(" ").filter((option) => option !== ""),
    env: Object.fromEntries(env) as Record<string, string>,
  };
}

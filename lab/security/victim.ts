/** The hostile pod's VMM, as the host sees it. */
import { readFile } from "node:fs/promises";
import { processesOf } from "../host/processes.ts";
import type { Ground } from "./attack.ts";

/** Its process. A fork has its original's command line, but the name. */
export async function vmmOf({ node, hostile }: Ground): Promise<number> {
  const found = (await processesOf([node.directory, hostile.pod])).find(
    ({ command }) => command.includes("qemu-system") && command.includes(hostile.pod),
  );
  if (found === undefined) throw new Error(`there is no VMM of ${hostile.pod}`);
  return found.pid;
}

/** A file of proc(5) about it. */
export async function ofProcess(pid: number, name: string): Promise<string> {
  return readFile(`/proc/${pid}/${name}`, "utf8");
}

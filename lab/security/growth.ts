/** How much memory daemon and keeper take more than before, at the most. */
import { readFile } from "node:fs/promises";
import { processesOf } from "../host/processes.ts";
import type { Ground } from "./attack.ts";

const MEBIBYTE = 2 ** 20;
/** What one guest may make either of them grow by. */
const MOST_GROWTH = 64 * MEBIBYTE;

export class Growth {
  private worst: { readonly name: string; readonly bytes: number } = { name: "", bytes: 0 };

  private constructor(private readonly before: readonly Process[]) {}

  static async from({ node }: Ground): Promise<Growth> {
    const keeper = (await processesOf([node.stateDirectory])).find(({ command }) =>
      command.includes("keeper"),
    );
    if (keeper === undefined) throw new Error("there is no keeper");
    const pids = { blazard: node.blazardPid, "the keeper": keeper.pid };
    return new Growth(
      await Promise.all(
        Object.entries(pids).map(async ([name, pid]) => ({ name, pid, bytes: await anonymousBytes(pid) })),
      ),
    );
  }

  async look(): Promise<void> {
    for (const { name, pid, bytes } of this.before) {
      const more = (await anonymousBytes(pid)) - bytes;
      if (more > this.worst.bytes) this.worst = { name, bytes: more };
    }
  }

  /** Undefined = neither has grown by too much, at any look. */
  get tooMuch(): string | undefined {
    const { name, bytes } = this.worst;
    return bytes > MOST_GROWTH ? `${name} has grown by ${Math.round(bytes / MEBIBYTE)} MiB` : undefined;
  }
}

interface Process {
  readonly name: string;
  readonly pid: number;
  readonly bytes: number;
}

async function anonymousBytes(pid: number): Promise<number> {
  const text = await readFile(`/proc/${pid}/smaps_rollup`, "utf8");
  return Number(/^Anonymous:\s+(\d+) kB/m.exec(text)?.[1] ?? 0) * 1024;
}

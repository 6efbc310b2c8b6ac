/** What somebody can do who has taken over a VM's QEMU: from within its namespaces and root, as its user, under its list. */
import { readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { qemuCalls } from "../../../src/vmm/qemu/system-calls.ts";
import { unwrap } from "../../../src/workers/outcome.ts";
import { compileSeccomp } from "../../../src/workers/seccomp.worker.ts";
import { processesOf } from "../../host/processes.ts";
import { runProgram } from "../../host/program.ts";
import { type Attack, type Ground, gotThrough } from "../attack.ts";

const SOURCE = join(import.meta.dirname, "..", "programs", "invade.c");

/** What it has is what it needs: the kernel's own answers say the rest. */
const HARMLESS: readonly string[] = [];

export const ESCAPED: readonly Attack[] = [
  {
    name: "reaches no file, network, process or kernel interface of the host",
    by: "an escaped VMM",
    tryIt: async (ground) => gotThrough(await invade(ground, true), HARMLESS),
  },
  {
    name: "reaches nothing of the host by its namespaces and user alone, were there no list of calls",
    by: "an escaped VMM",
    // sockets and threads of its own lead nowhere: their network is empty, their root is, too
    tryIt: async (ground) =>
      gotThrough(await invade(ground, false), [
        ...["socket of family 2", "socket of family 10", "socket of family 16", "socket of family 40"],
        ...[
          "socket of family 38",
          "socket of family 1",
          "another process",
          "shared memory",
          "timers",
          "personality",
        ],
        ...[
          "io_uring",
          "asynchronous I/O",
          "landlock",
          "secret memory",
          "message queue",
          "new user namespace",
        ],
        ...[
          "new network namespace",
          "time namespace",
          "signal all",
          "keyctl",
          "add a key",
          "userfaultfd",
          "perf",
          "bpf",
          "raise a limit",
          "become root",
        ],
      ]),
  },
  {
    name: "is under the filters of its jail in every thread, and has no capability",
    by: "an escaped VMM",
    tryIt: async (ground) => {
      const { pid } = await vmm(ground);
      const status = await readFile(`/proc/${pid}/status`, "utf8");
      const field = (name: string): string => new RegExp(`^${name}:\\s+(\\S+)$`, "m").exec(status)?.[1] ?? "";
      if (Number(field("Seccomp_filters")) < 3) return `it has ${field("Seccomp_filters")} filters`;
      return ["CapEff", "CapPrm", "CapBnd"].find((name) => Number.parseInt(field(name), 16) !== 0);
    },
  },
];

async function vmm({ node, hostile }: Ground): Promise<{ pid: number; others: number[] }> {
  const { pod } = await hostile();
  const all = await processesOf([node.directory]);
  const found = all.find(({ command }) => command.includes("qemu") && command.includes(pod.slice(0, 12)));
  const any = found ?? all.find(({ output }) => output.includes(pod));
  if (any === undefined) throw new Error(`there is no VMM of ${pod}`);
  return { pid: any.pid, others: [node.blazardPid, process.pid] };
}

async function invade(ground: Ground, withList: boolean): Promise<Map<string, string>> {
  const { pid, others } = await vmm(ground);
  const program = join(ground.scratch, "invade");
  await runProgram("gcc", ["-static", "-O1", "-o", program, SOURCE]);
  const filter = join(ground.scratch, "filter");
  const { program: calls } = unwrap(compileSeccomp(qemuCalls("tcg")));
  await writeFile(filter, Buffer.from(calls, "base64"));
  const uid = /^Uid:\s+(\d+)/m.exec(await readFile(`/proc/${pid}/status`, "utf8"))?.[1] ?? "";
  if (uid === "0" || uid === "") throw new Error(`the VMM ${pid} has the user ${uid}`);
  const filters = withList ? [filter] : [];
  const said = await runProgram(program, [`${pid}`, uid, ...filters, "--", ...others.map(String)]);
  const lines = said.split("\n").filter((line) => line !== "");
  return new Map(lines.map((line) => line.split("\t", 2) as [string, string]));
}

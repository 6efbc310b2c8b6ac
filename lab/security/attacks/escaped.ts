/**
 * What somebody can do who has taken over a VM's QEMU: programs/invade.c goes into its namespaces and root, becomes its user, and
 * loads its list of system calls. The same program as root of the host, and in no jail, shows which of its tries tell anything.
 */
import { spawn } from "node:child_process";
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { qemuCalls } from "../../../src/vmm/qemu/system-calls.ts";
import { unwrap } from "../../../src/workers/outcome.ts";
import { compileSeccomp } from "../../../src/workers/seccomp.worker.ts";
import { runProgram } from "../../host/program.ts";
import type { Attack, Ground } from "../attack.ts";
import { ofProcess, vmmOf } from "../victim.ts";

/** Answers that the kernel gives before it has looked at what was asked for. */
const REFUSED = new Set([
  ...["Operation not permitted", "Permission denied", "No such file or directory", "No such process"],
  ...["Read-only file system", "Function not implemented", "Address family not supported by protocol"],
]);

/** What leads nowhere without the list: the network of a jail is empty, its root too, and what is shared in it is its own. */
const ITS_OWN: readonly string[] = [
  ...[1, 2, 10, 16, 38, 40].map((family) => `socket of family ${family}`),
  ...["connect", "bind", "another process", "shared memory", "timers", "personality", "io_uring"],
  ...[
    "asynchronous I/O",
    "landlock",
    "secret memory",
    "message queue",
    "signal all",
    "splice",
    "raise a limit",
  ],
  // they need a capability over what they are asked to change, and tell so after they have read their arguments
  ...["keyctl", "add a key", "userfaultfd", "perf", "bpf", "execute what is in memory"],
  ...["new user namespace", "new network namespace", "time namespace", "real-time scheduling"],
];

export const ESCAPED: readonly Attack[] = [
  {
    name: "reaches no file, network, process or kernel interface of the host",
    by: "an escaped VMM",
    tryIt: async (ground) => gotThrough(await invade(ground, true), []),
  },
  {
    name: "reaches nothing of the host by its namespaces and user alone, were there no list of calls",
    by: "an escaped VMM",
    tryIt: async (ground) => gotThrough(await invade(ground, false), ITS_OWN),
  },
  {
    name: "is under the filters of its jail in every thread, and has no capability",
    by: "an escaped VMM",
    tryIt: async (ground) => {
      const status = await ofProcess(await vmmOf(ground), "status");
      const field = (name: string): string => new RegExp(`^${name}:\\s+(\\S+)$`, "m").exec(status)?.[1] ?? "";
      if (!(Number(field("Seccomp_filters")) >= 3)) return `it has ${field("Seccomp_filters")} filters`;
      return ["CapEff", "CapPrm", "CapBnd"].find((name) => Number.parseInt(field(name), 16) !== 0);
    },
  },
];

async function invade(ground: Ground, withList: boolean): Promise<Map<string, string>> {
  const { program, filter, user, pid } = await victim(ground);
  // a process of the host that nobody needs
  const bystander = spawn("sleep", ["600"]);
  try {
    const others = [ground.node.blazardPid, bystander.pid ?? 0].map(String);
    const filters = withList ? [filter] : [];
    const got = answersOf(await runProgram(program, [`${pid}`, user, ...filters, "--", ...others]));
    const outside = ["--mount", "--net", "--ipc", "--uts", program, "self", "0", "--", `${bystander.pid}`];
    const free = answersOf(await runProgram("unshare", outside));
    const mute = [...got.keys()].filter((name) => REFUSED.has(free.get(name) ?? "") && !NOT_THERE.has(name));
    if (mute.length > 0) throw new Error(`refused everywhere, so they show nothing: ${mute.join(", ")}`);
    return got;
  } finally {
    bystander.kill("SIGKILL");
  }
}

/** A host may be without them. */
const NOT_THERE: ReadonlySet<string> = new Set([
  ...[
    "open /proc/1/environ",
    "load a module",
    "open /dev/mem",
    "open /dev/kvm",
    "io_uring",
    "landlock",
    "secret memory",
    "socket of family 40",
  ],
  ...["socket of family 38", "socket of family 17", "userfaultfd", "perf", "bpf"],
]);

async function victim(ground: Ground) {
  const pid = await vmmOf(ground);
  const filter = join(ground.scratch, "filter");
  const { info } = await ground.node.cri.podSandboxStatus(ground.hostile.pod, true);
  const accelerator = String(info["acceleration"]).includes("kvm") ? "kvm" : "tcg";
  const { program: calls } = unwrap(compileSeccomp(qemuCalls(accelerator)));
  await writeFile(filter, Buffer.from(calls, "base64"));
  const user = /^Uid:\s+(\d+)/m.exec(await ofProcess(pid, "status"))?.[1] ?? "";
  if (user === "0" || user === "") throw new Error(`the VMM ${pid} has the user ${user}`);
  return { program: ground.programs.invade, filter, user, pid };
}

/** Of several tries with one name, the one that got furthest. */
function answersOf(said: string): Map<string, string> {
  const answers = new Map<string, string>();
  for (const line of said.split("\n").filter((each) => each !== "")) {
    const [name = "", answer = ""] = line.split("\t", 2);
    if (REFUSED.has(answers.get(name) ?? "Operation not permitted")) answers.set(name, answer);
  }
  return answers;
}

function gotThrough(answers: ReadonlyMap<string, string>, harmless: readonly string[]): string | undefined {
  const got = [...answers].filter(([name, answer]) => !REFUSED.has(answer) && !harmless.includes(name));
  return got.length === 0 ? undefined : got.map(([name, answer]) => `${name} (${answer})`).join(", ");
}

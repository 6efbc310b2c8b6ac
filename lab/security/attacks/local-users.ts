/** What any user of the host can do: nobody, with a shell and no group. Root gets something by the same words, or they show nothing. */
import { readdir } from "node:fs/promises";
import { join } from "node:path";
import { processesOf } from "../../host/processes.ts";
import { runToEnd } from "../../host/program.ts";
import type { Attack, Ground } from "../attack.ts";

const NOBODY = ["setpriv", "--reuid", "65534", "--regid", "65534", "--clear-groups", "--no-new-privs"];

/** What nobody gets by a command, each on a line of its own; undefined = nothing, and root gets some. */
async function asNobody(words: readonly string[]): Promise<string | undefined> {
  const { stdout: root } = await runToEnd(words);
  if (root.trim() === "") throw new Error("root gets nothing by these words either");
  const { stdout } = await runToEnd([...NOBODY, ...words]);
  const got = stdout.trim();
  return got === "" ? undefined : got.split("\n").slice(0, 3).join(" | ").slice(0, 200);
}

const inShell = (script: string): string[] => ["sh", "-c", script];

async function below(directory: string): Promise<string[]> {
  return (await readdir(directory)).map((name) => join(directory, name));
}

const socketsOf = async ({ node }: Ground): Promise<string[]> => {
  const all = await Promise.all([node.stateDirectory, join(node.stateDirectory, "vm")].map(below));
  const vms = await Promise.all((all[1] ?? []).map((each) => below(each).catch(() => [])));
  return [...(all[0] ?? []), ...vms.flat()].filter((path) => path.endsWith(".sock"));
};

const CONNECT = `const net=require("net");for(const p of process.argv.slice(1))net.connect(p).on("connect",function(){console.log(p);this.destroy()}).on("error",()=>{})`;

export const LOCAL_USERS: readonly Attack[] = [
  {
    name: "no file of a pod, a journal or a template can be listed or read",
    by: "a local user",
    withoutPod: true,
    async tryIt({ node }) {
      const places = [node.stateDirectory, node.scratchDirectory, join(node.directory, "images")];
      const quoted = [...places, ...(await below(node.stateDirectory))].map((each) => `'${each}'`).join(" ");
      return asNobody(
        inShell(
          `for each in ${quoted}; do ls -A "$each"; head -c 100 "$each"; done 2>/dev/null; find ${quoted} -type f -readable 2>/dev/null | head -3`,
        ),
      );
    },
  },
  {
    name: "no file of a container's root or of a layer can be read, wherever it is mounted",
    by: "a local user",
    withoutPod: true,
    async tryIt({ node }) {
      return asNobody(
        inShell(
          `awk '{print $5}' /proc/self/mountinfo | grep '^${node.directory}' | while read -r each; do ls -A "$each" | head -1; done 2>/dev/null; ls '${node.containerdRoot}' 2>/dev/null`,
        ),
      );
    },
  },
  {
    name: "no socket can be connected to",
    by: "a local user",
    withoutPod: true,
    async tryIt(ground) {
      const { stdout } = await runToEnd([...NOBODY, process.execPath, "-e", "console.log(1)"]);
      if (stdout.trim() !== "1") throw new Error("nobody cannot run node at all");
      return asNobody([process.execPath, "-e", CONNECT, ...(await socketsOf(ground))]);
    },
  },
  {
    name: "no process can be signalled, traced or looked into",
    by: "a local user",
    withoutPod: true,
    async tryIt({ node }) {
      const all = (await processesOf([node.directory])).map(({ pid }) => pid).join(" ");
      return asNobody(
        inShell(
          `for p in ${all}; do kill -0 $p && echo "kill $p"; head -c 20 /proc/$p/environ; ls /proc/$p/root/ | head -1; ls /proc/$p/fd | head -1; head -1 /proc/$p/maps; done 2>/dev/null`,
        ),
      );
    },
  },
  {
    name: "no control group can be changed",
    by: "a local user",
    withoutPod: true,
    tryIt: async () =>
      asNobody(inShell("find /sys/fs/cgroup -path '*blazar*' -writable 2>/dev/null | head -1")),
  },
  {
    name: "no command of blazar tells anything of a pod",
    by: "a local user",
    withoutPod: true,
    async tryIt({ node, program }) {
      const { code } = await runToEnd([...NOBODY, process.execPath, program, "--version"]);
      if (code !== 0) throw new Error("nobody cannot run blazar at all");
      return asNobody([process.execPath, program, "ps", "--address", node.inspectionSocket]);
    },
  },
];

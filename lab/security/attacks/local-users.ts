/** What any user of the host can do: nobody, with a shell and no group. */
import { readdir } from "node:fs/promises";
import { join } from "node:path";
import { processesOf } from "../../host/processes.ts";
import { runToEnd } from "../../host/program.ts";
import type { Attack, Ground } from "../attack.ts";

const NOBODY = ["setpriv", "--reuid", "65534", "--regid", "65534", "--clear-groups", "--no-new-privs"];

/** Each line: what was tried, and what came out of it. Nothing comes out if all is refused. */
async function asNobody(script: string): Promise<string | undefined> {
  const { stdout } = await runToEnd([...NOBODY, "sh", "-c", script]);
  const got = stdout.trim();
  return got === "" ? undefined : got.split("\n").slice(0, 3).join(" | ").slice(0, 200);
}

async function pids({ node }: Ground): Promise<number[]> {
  return (await processesOf([node.directory])).map(({ pid }) => pid);
}

export const LOCAL_USERS: readonly Attack[] = [
  {
    name: "no file of a pod, a journal or a template can be listed or read",
    by: "a local user",
    async tryIt({ node, hostile }) {
      await hostile();
      const places = [node.stateDirectory, node.scratchDirectory, join(node.directory, "templates")];
      const names = await readdir(node.stateDirectory);
      const below = names.map((name) => join(node.stateDirectory, name));
      const quoted = [...places, ...below].map((each) => `'${each}'`).join(" ");
      return asNobody(
        `for each in ${quoted}; do ls -A "$each" 2>/dev/null; cat "$each" 2>/dev/null; done; find ${quoted} -type f -readable 2>/dev/null | head -3`,
      );
    },
  },
  {
    name: "no socket can be connected to",
    by: "a local user",
    async tryIt({ node }) {
      const sockets = (await readdir(node.stateDirectory)).filter((name) => name.endsWith(".sock"));
      const script = `const net=require("net");for(const p of process.argv.slice(1))net.connect(p).on("connect",function(){console.log(p);this.destroy()}).on("error",()=>{})`;
      const paths = sockets.map((name) => join(node.stateDirectory, name));
      if (paths.length === 0) return "there is no socket to try";
      const { stdout } = await runToEnd([...NOBODY, process.execPath, "-e", script, ...paths]);
      return stdout.trim() === "" ? undefined : stdout.trim();
    },
  },
  {
    name: "no process can be signalled, traced or looked into",
    by: "a local user",
    async tryIt(ground) {
      await ground.hostile();
      const all = (await pids(ground)).join(" ");
      return asNobody(
        `for p in ${all}; do kill -0 $p 2>/dev/null && echo "kill $p"; cat /proc/$p/environ 2>/dev/null | head -c 20; ls /proc/$p/root/ 2>/dev/null | head -1; ls /proc/$p/fd 2>/dev/null | head -1; done`,
      );
    },
  },
  {
    name: "no control group can be changed",
    by: "a local user",
    tryIt: async () =>
      asNobody(
        "find /sys/fs/cgroup -path '*blazar*' -name cgroup.procs -writable 2>/dev/null | head -1; find /sys/fs/cgroup -path '*blazar*' -type d -writable 2>/dev/null | head -1",
      ),
  },
];

/** Cases: what CRI has no field for, and what therefore stands in the spec that a handler's containers begin with. */
import { PassThrough } from "node:stream";
import type { FidelityCase } from "../case.ts";

const beginning = (name: string, run: FidelityCase["run"]): FidelityCase => ({
  name: `spec: ${name}`,
  baseSpec: true,
  run,
});

const LIMITS = "ulimit -n; ulimit -Hn; ulimit -c; ulimit -s; ulimit -Hs";

export const SPEC_CASES: readonly FidelityCase[] = [
  beginning("a terminal has its size from the first command on", (pod) =>
    pod.run(["stty", "size"], { tty: true }),
  ),
  beginning("an exec's terminal has its size from the first command on", (pod) =>
    pod.during(async (id) => {
      let screen = "";
      const stdout = new PassThrough().on("data", (chunk: Buffer) => {
        screen += chunk.toString();
      });
      const exec = await pod.cri.exec(id, ["stty", "size"], { tty: true, stdin: new PassThrough(), stdout });
      const code = await exec.exitCode;
      return `${screen.trim()} exit ${code}`;
    }, "exec sleep 1000"),
  ),
  beginning("limits of a process", (pod) => pod.run(LIMITS)),
  beginning("limits of an exec", (pod) => pod.exec(LIMITS)),
  beginning("umask and the score for the OOM killer", (pod) =>
    pod.run("umask; cat /proc/self/oom_score_adj"),
  ),
  beginning("inheritable and ambient capabilities", (pod) => pod.run("grep Cap /proc/self/status")),
  beginning("ambient capabilities of another user", (pod) =>
    pod.run("grep Cap /proc/self/status", { linux: { securityContext: { runAsUser: { value: 1000n } } } }),
  ),
  beginning("a tmpfs with size, inodes, mode and owner", (pod) =>
    pod.run(
      "stat -c '%a %u:%g' /run/small; grep -o ' /run/small tmpfs rw,nosuid,noexec' /proc/mounts; for i in 1 2 3 4 5 6 7 8 9; do touch /run/small/$i; done 2>&1 | wc -l; head -c 100000 /dev/zero > /run/small/1; stat -c %s /run/small/1",
    ),
  ),
  beginning("a limit of processes", (pod) =>
    pod.run("i=0; while [ $i -lt 40 ]; do sleep 5 & i=$((i+1)); done; echo $i"),
  ),
];

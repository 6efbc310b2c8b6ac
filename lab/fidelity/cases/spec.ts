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
];

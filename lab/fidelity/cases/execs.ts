/** Cases: many execs at once, large and odd ones, and their streams. */
import { PassThrough } from "node:stream";
import type { FidelityCase } from "../case.ts";
import type { HandlerPod } from "../handler-pod.ts";

const SLEEP = "exec sleep 1000";
const STORM = 50;

/** A stream that keeps what comes. */
function kept(): { readonly stream: PassThrough; readonly text: () => string } {
  const chunks: Buffer[] = [];
  const stream = new PassThrough().on("data", (chunk: Buffer) => chunks.push(chunk));
  return { stream, text: () => Buffer.concat(chunks).toString() };
}

/** The answers of so many at once, in order; the same ones once. */
async function storm(pod: HandlerPod, script: (index: number) => string): Promise<string> {
  return pod.during(async (id) => {
    const all = await Promise.all(Array.from({ length: STORM }, (_, index) => pod.execIn(id, script(index))));
    return all.map((each) => each.replaceAll("\n", " ")).join("; ");
  }, SLEEP);
}

export const EXEC_CASES: readonly FidelityCase[] = [
  {
    name: "exec: 50 at once, each with an exit code of its own",
    run: (pod) => storm(pod, (index) => `exit ${index}`),
  },
  {
    name: "exec: 50 at once, each with 300 KB of output on two streams",
    run: (pod) =>
      storm(
        pod,
        (index) =>
          `seq ${index * 50_000} ${index * 50_000 + 50_000} | md5sum; seq 1 50000 | head -c 300000 | md5sum >&2`,
      ),
  },
  {
    name: "exec: 20 at once, each with 1 MB of arguments",
    run: (pod) =>
      pod.during(async (id) => {
        const long = Array.from({ length: 10 }, (_, index) => String(index).repeat(100_000));
        const count = async (index: number) => {
          const command = ["sh", "-c", 'echo "$# $(echo "$*" | wc -c)"', `sh${index}`, ...long];
          const { exitCode, stdout } = await pod.cri.execSync(id, command);
          return `${Buffer.from(stdout).toString().trim()} ${exitCode}`;
        };
        const all = await Promise.all(Array.from({ length: 20 }, (_, index) => count(index)));
        return [...new Set(all)].join("; ");
      }, SLEEP),
  },
  {
    name: "exec: 20 at once, each with input of its own",
    run: (pod) =>
      pod.during(async (id) => {
        const one = async (index: number) => {
          const { stream, text } = kept();
          const streams = { stdin: new PassThrough(), stdout: stream };
          const remote = await pod.cri.exec(id, ["sh", "-c", "head -c 200000 | md5sum"], streams);
          for (let part = 0; part < 4; part++) await remote.write(Buffer.alloc(50_000, index));
          const code = await remote.exitCode;
          return `${text().slice(0, 8)} ${code}`;
        };
        return (await Promise.all(Array.from({ length: 20 }, (_, index) => one(index)))).join("; ");
      }, SLEEP),
  },
];

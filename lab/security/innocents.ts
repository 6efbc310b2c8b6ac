/**
 * Pods that do nothing wrong, beside the attacks: each counts in its log, and answers execs. All of what it says has to be there
 * in the end, once and in order, and its execs may not take much longer than without an attack.
 */
import { mkdir } from "node:fs/promises";
import { join } from "node:path";
import { execText } from "../cri/commands.ts";
import { readContainerLog } from "../cri/container-log.ts";
import { hostNetworkPod } from "../node/pods.ts";
import type { PrivateNode } from "../node/private-node.ts";

const COUNT = "i=0; while :; do echo $i; i=$((i+1)); sleep 0.1; done";

interface Innocent {
  readonly container: string;
  readonly log: string;
}

export class Innocents {
  private asked = 0;
  /** What an exec answered that was not what it should. */
  private readonly wrong: string[] = [];

  private constructor(
    private readonly node: PrivateNode,
    private readonly all: readonly Innocent[],
  ) {}

  static async start(node: PrivateNode, image: string, count: number): Promise<Innocents> {
    const all: Innocent[] = [];
    for (let number = 0; number < count; number++) {
      const logDirectory = join(node.directory, "logs", `innocent${number}`);
      await mkdir(logDirectory, { recursive: true });
      const config = hostNetworkPod(`innocent${number}`, { logDirectory });
      const pod = await node.cri.runPodSandbox(config, "blazar");
      const container = {
        metadata: { name: "counts", attempt: 0 },
        image: { image },
        command: ["/bin/sh", "-c", COUNT],
        logPath: "log",
      };
      const id = await node.cri.createContainer(pod, container, config);
      await node.cri.startContainer(id);
      all.push({ container: id, log: join(logDirectory, "log") });
    }
    return new Innocents(node, all);
  }

  /** The median of so many execs one after the other, in milliseconds. */
  async usual(count: number): Promise<number> {
    const took: number[] = [];
    while (took.length < count) took.push(await this.ask());
    return medianOf(took);
  }

  /** Execs one after the other, as long as the work takes, and at least so many. Resolves with their median in milliseconds. */
  async during<Result>(
    work: () => Promise<Result>,
    least: number,
  ): Promise<{ result: Result; median: number }> {
    const took: number[] = [];
    let over = false;
    const asking = (async () => {
      while (!over || took.length < least) took.push(await this.ask());
    })();
    try {
      const result = await work();
      over = true;
      await asking;
      return { result, median: medianOf(took) };
    } finally {
      over = true;
      await asking.catch(() => undefined);
    }
  }

  private async ask(): Promise<number> {
    const number = this.asked++;
    const { container } = this.all[number % this.all.length] ?? { container: "" };
    const started = performance.now();
    const said = await execText(this.node.cri, container, ["/bin/echo", `${number}`], 0).then(
      ({ code, stdout }) => `${code} ${stdout.trim()}`,
      String,
    );
    if (said !== `0 ${number}`) this.wrong.push(said);
    return performance.now() - started;
  }

  /** What is missing of the logs, or there twice; undefined = all is there. */
  async lost(): Promise<string | undefined> {
    // each attack answers for its own
    const wrong = this.wrong.splice(0);
    if (wrong.length > 0) return `${wrong.length} execs failed: ${wrong[0]}`;
    for (const { log, container } of this.all) {
      const lines = (await readContainerLog(log)).map(({ text }) => text.trim());
      const at = lines.findIndex((text, index) => text !== String(index));
      if (at >= 0) return `line ${at} of ${container} is ${JSON.stringify(lines[at])}`;
      if (lines.length < 10) return `${container} has said ${lines.length} lines only`;
    }
    return undefined;
  }
}

function medianOf(numbers: readonly number[]): number {
  const sorted = [...numbers].sort((one, other) => one - other);
  return sorted[Math.floor(sorted.length / 2)] ?? 0;
}

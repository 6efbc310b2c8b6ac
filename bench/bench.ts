/**
 * `npm run bench -- COMMAND`: measures this checkout against the plain runc handler of the same containerd.
 *
 * It sets up what is missing, bundles the product, runs the suites, prints tables, writes every sample to a file and
 * draws the figures. Needs root and a quiet machine. Progress goes to stderr; with `--json` stdout has one line.
 */
import { readFile } from "node:fs/promises";
import { Command, InvalidArgumentError, Option } from "commander";
import { command as runCommand } from "../setup/lib/entry.ts";
import { cancelled } from "../src/lib/async.ts";
import { measureInspection } from "./commands/inspection.ts";
import { report } from "./commands/report.ts";
import { measureRestart } from "./commands/restart.ts";
import { type BenchCommand, runBench } from "./commands/run.ts";
import { parseHandlers } from "./node/variants.ts";

const COMMANDS: Readonly<Record<BenchCommand, string>> = {
  start: "one pod at a time: from the pool, by a clone, by a cold boot, and the other handlers",
  serial: "one pod at a time, each handler as it is",
  parallel: "many pods at once, with a pool of as many VMs and with none",
  memory: "memory of daemon and keeper against the others' shims, as pods are added",
  density: "a thousand sandboxes on the fake driver",
  files: "files of an image: first and again, with images, with the share, and under the other handlers",
  "page-cache": "memory of host and guests after pods of one image have read the same 100 MB",
  stdio: "standard streams: rates, order, and what a container's output costs the others",
  network: "pods' networks: bytes a second, round trips and connections, from the host and from another pod",
  all: "serial, parallel, memory and density",
};

interface Flags {
  readonly runs?: number;
  readonly pods?: number;
  readonly handlers: string;
  readonly quick?: boolean;
  readonly json?: boolean;
  readonly seed?: number;
  readonly containerdConfig?: string;
  readonly image?: string;
  readonly network?: string;
}

/** The default seed is below this. It is printed, so that a run can be repeated in its order. */
const SEEDS = 2 ** 31;

function count(text: string): number {
  if (/^[1-9]\d{0,4}$/.test(text)) return Number(text);
  throw new InvalidArgumentError("a number from 1 to 99999");
}

function seed(text: string): number {
  if (/^\d{1,10}$/.test(text)) return Number(text);
  throw new InvalidArgumentError("a whole number");
}

async function bench(name: BenchCommand, flags: Flags): Promise<void> {
  const interrupted = new AbortController();
  const reason = cancelled({ operation: "run the benchmark" }, "a signal has come");
  const interrupt = (): void => interrupted.abort(reason);
  process.on("SIGINT", interrupt).on("SIGTERM", interrupt);
  const { runs, pods, containerdConfig } = flags;
  await runBench(name, {
    ...(runs === undefined ? {} : { runs }),
    ...(pods === undefined ? {} : { pods }),
    handlers: parseHandlers(flags.handlers),
    quick: flags.quick === true,
    json: flags.json === true,
    seed: flags.seed ?? Math.floor(Math.random() * SEEDS),
    containerdConfig: containerdConfig === undefined ? undefined : await readFile(containerdConfig, "utf8"),
    cni: flags.network === "cni",
    image: flags.image,
    signal: interrupted.signal,
  });
}

function program(): Command {
  const cli = new Command("bench").description("Measures Blazar against other runtime handlers.");
  cli.showHelpAfterError().exitOverride();
  for (const [name, description] of Object.entries(COMMANDS)) {
    cli
      .command(name)
      .description(description)
      .option("--runs <n>", "measurements of each variant", count)
      .option("--pods <n>", "pods at once, at most, or in all", count)
      .option("--handlers <names>", "runtime handlers, with commas between", "blazar,runc")
      .option("--containerd-config <file>", "TOML with further runtime handlers for the private containerd")
      .option(
        "--image <reference|tar>",
        "files: what is measured; default: an image made of Debian's packages",
      )
      .addOption(
        new Option("--network <kind>", "serial: pods on a network of CNI's beside hostNetwork pods").choices([
          "cni",
        ]),
      )
      .option("--quick", "fewer measurements")
      .option("--json", "one JSON object as the last line of stdout, all else on stderr")
      .option("--seed <n>", "of the order and the intervals; default: a new one, printed", seed)
      .action((flags: Flags) => bench(name as BenchCommand, flags));
  }
  cli
    .command("inspection")
    .description("what inspection costs: CPU of a start, memory of a sandbox, on the fake driver")
    .option("--pods <n>", "pods in each daemon", count, 300)
    .option("--seed <n>", "of the order", seed, 1)
    .action((flags: { readonly pods: number; readonly seed: number }) =>
      measureInspection(flags.pods, flags.seed),
    );
  cli
    .command("restart")
    .description("how long the daemon is away when it is killed or restarted, and whether its pods run on")
    .option("--pods <n>", "pods that run", count, 50)
    .option("--json", "one JSON object as the last line of stdout, all else on stderr")
    .action(async (flags: { readonly pods: number; readonly json?: boolean }) => {
      process.exitCode = await measureRestart({ pods: flags.pods, json: flags.json === true });
    });
  cli
    .command("report")
    .description("figures and docs/performance.md from results files")
    .argument("[files...]", "one section each; default: the newest full run in bench/results")
    .action(async (files: string[]) => {
      for (const written of await report(files)) process.stdout.write(`${written}\n`);
    });
  return cli;
}

await runCommand(async () => {
  try {
    await program().parseAsync(process.argv);
    return Number(process.exitCode ?? 0);
  } catch (error) {
    // commander has said what was wrong, or shown the help
    if (error instanceof Error && "exitCode" in error) return Number(error.exitCode);
    throw error;
  }
});

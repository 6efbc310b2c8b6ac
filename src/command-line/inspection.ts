/**
 * The commands that ask a running daemon. Each is loaded when it is called.
 */
import { Argument, type Command, Option } from "commander";
import type { DaemonOptions } from "../cli/daemon-socket.ts";
import type { DoctorOptions } from "../cli/doctor.ts";
import type { BundleOptions } from "../cli/inspection/bundle.ts";
import type { DrainOptions } from "../cli/inspection/drain.ts";
import type { EventsOptions } from "../cli/inspection/events.ts";
import type { ExecOptions } from "../cli/inspection/exec.ts";
import type { GraphOptions } from "../cli/inspection/graph.ts";
import type { InspectOptions } from "../cli/inspection/inspect.ts";
import type { LogsOptions } from "../cli/inspection/logs.ts";
import type { PsOptions } from "../cli/inspection/ps.ts";
import type { TimelineOptions } from "../cli/inspection/timeline.ts";
import type { TopOptions } from "../cli/inspection/top.ts";
import type { ReplayOptions } from "../cli/replay.ts";
import type { UiOptions } from "../cli/ui.ts";
import { COMPLETE, candidates, completionScript, SHELLS } from "./completion.ts";

/** What names a sandbox, in the usage of every command. */
const POD = "an id, the beginning of one, a pod's name, or namespace/name";
const CHARTS = ["sandbox", "boot", "container", "process"];

/** @param version of this program */
export function addInspectionCommands(cli: Command, version: string): void {
  addLists(cli);
  addAboutOne(cli);
  addStreams(cli);
  addFiles(cli, version);
  addReplay(cli);
  addPage(cli);
  addDrain(cli);
}

function addDrain(cli: Command): void {
  asking(cli, "drain", "end all pods of the node and refuse new ones, as before an upgrade of its kernel")
    .option("--timeout <seconds>", "how long to wait for the ends; default: 120")
    .action(async (options: DrainOptions) => {
      process.exitCode = await (await import("../cli/inspection/drain.ts")).drain(options);
    });
  asking(cli, "undrain", "take new pods again").action(async (options: DaemonOptions) => {
    process.exitCode = await (await import("../cli/inspection/drain.ts")).undrain(options);
  });
}

function addPage(cli: Command): void {
  asking(cli, "ui", "serve the state-chart page on 127.0.0.1, and print its address, until Ctrl-C")
    .option("--port <number>", "where it is served; default: a port that is free")
    .option("--offline", "without a daemon: for journals and bundles that are dropped onto the page")
    .action(async (options: UiOptions) => {
      process.exitCode = await (await import("../cli/ui.ts")).ui(options);
    });
}

/** A command that asks a daemon, with the options that say which. */
function asking(cli: Command, name: string, description: string): Command {
  return cli
    .command(name)
    .description(description)
    .option(
      "--address <socket>",
      "the daemon's inspection socket; default: BLAZAR_ADDRESS, or the configuration's",
    )
    .option("--config <file>", "the daemon's configuration, which says where its socket is");
}

function output(...formats: string[]): Option {
  return new Option("-o, --output <format>", "how it is written").choices(formats);
}

function addLists(cli: Command): void {
  asking(cli, "ps", "list sandboxes, those that are stuck first")
    .addOption(output("table", "wide", "json", "yaml"))
    .option("-w, --watch", "then a line for each change")
    .option("-a, --all", "those that have ended, too")
    .option("-n, --namespace <name>", "only pods of this namespace")
    .action(async (options: PsOptions) => {
      process.exitCode = await (await import("../cli/inspection/ps.ts")).ps(options);
    });
  asking(cli, "doctor", "check the node: configuration, host, containerd, leftovers; says what to do")
    .option("--fix", "remove now what nobody holds: the daemon does it by itself when it has seen it twice")
    .option("--containerd-config <file>", "containerd's configuration; default: /etc/containerd/config.toml")
    .addOption(output("table", "json", "yaml"))
    .action(async (options: DoctorOptions) => {
      process.exitCode = await (await import("../cli/doctor.ts")).doctor(options);
    });
  asking(cli, "top", "what pods use and what their VMs cost, live")
    .option("--once", "print it once; so it is without a terminal")
    .addOption(
      new Option("--sort <order>", "what is first").choices(["cpu", "memory", "vmm-memory", "name", "state"]),
    )
    .action(async (options: TopOptions) => {
      process.exitCode = await (await import("../cli/inspection/top.ts")).top(options);
    });
}

function addAboutOne(cli: Command): void {
  asking(cli, "why", "say in a paragraph why a sandbox is as it is, and what can be done")
    .argument("<pod>", POD)
    .action(async (pod: string, options: DaemonOptions) => {
      process.exitCode = await (await import("../cli/inspection/why.ts")).why(pod, options);
    });
  asking(cli, "inspect", "show all about a sandbox")
    .argument("<pod>", POD)
    .addOption(output("table", "json", "yaml"))
    .action(async (pod: string, options: InspectOptions) => {
      process.exitCode = await (await import("../cli/inspection/inspect.ts")).inspect(pod, options);
    });
  asking(cli, "timeline", "show where a sandbox's time went, with causes")
    .argument("<pod>", POD)
    .addOption(output("table", "json", "yaml"))
    .action(async (pod: string, options: TimelineOptions) => {
      process.exitCode = await (await import("../cli/inspection/timeline.ts")).timeline(pod, options);
    });
  asking(cli, "graph", "draw a chart, with a sandbox's active states lit")
    .argument("[chart or pod]", `${CHARTS.join(", ")}; or ${POD}`)
    .addOption(output("mermaid", "svg", "json"))
    .option("--chart <key>", "which of the sandbox's charts, such as boot or container/ID")
    .action(async (word: string | undefined, options: GraphOptions) => {
      process.exitCode = await (await import("../cli/inspection/graph.ts")).graph(word, options);
    });
}

function addFiles(cli: Command, version: string): void {
  asking(cli, "bundle", "write a tar with all that a report of a bug needs; nothing secret is in it")
    .argument("<pod>", POD)
    .option("--file <file>", "where to; - is standard output")
    .action(async (pod: string, options: BundleOptions) => {
      process.exitCode = await (await import("../cli/inspection/bundle.ts")).bundle(pod, options, version);
    });
}

function addReplay(cli: Command): void {
  cli
    .command("replay")
    .description("step through what has happened to a sandbox, forwards and back, without a daemon")
    .argument("<file>", "a bundle, what `inspect -o json` has printed, or a journal")
    .option("--json", "each step as an object in a line")
    .option("--plain", "each step in a line; so it is without a terminal")
    .action(async (file: string, options: ReplayOptions) => {
      process.exitCode = await (await import("../cli/replay.ts")).replay(file, options);
    });
}

/** What the shells' completion asks for. */
export function addCompletionCommands(cli: Command): void {
  cli
    .command("completion")
    .description("print the completion of a shell: source <(blazar completion bash)")
    .addArgument(new Argument("<shell>", "which one").choices(SHELLS))
    .action((shell: (typeof SHELLS)[number]) => {
      process.stdout.write(completionScript(shell));
    });
  cli
    .command(COMPLETE, { hidden: true })
    .argument("[word...]")
    .passThroughOptions()
    .action(async (words: string[]) => {
      const { podNames } = await import("../cli/inspection/pod-names.ts");
      for (const each of await candidates(cli, words, podNames)) process.stdout.write(`${each}\n`);
    });
}

function addStreams(cli: Command): void {
  asking(cli, "events", "show what has happened, of one sandbox or of all")
    .argument("[pod]", POD)
    .addOption(output("table", "json", "yaml"))
    .option("-f, --follow", "then what happens")
    .option("--last <count>", "so many events of the past at most")
    .action(async (pod: string | undefined, options: EventsOptions) => {
      process.exitCode = await (await import("../cli/inspection/events.ts")).events(pod, options);
    });
  asking(cli, "logs", "show a log of a sandbox: its guest's console unless told otherwise")
    .argument("<pod>", POD)
    .option("--vmm", "of the VMM")
    .option("--console", "of the guest's console")
    .option("--agent", "of the guest's agent")
    .option("-f, --follow", "then what comes")
    .option("--tail <size>", "so much of its end at most, such as 1M")
    .option("--raw", "the bytes as they are: a guest may send sequences that a terminal obeys")
    .action(async (pod: string, options: LogsOptions) => {
      process.exitCode = await (await import("../cli/inspection/logs.ts")).logs(pod, options);
    });
  asking(
    cli,
    "exec",
    "run a command in the guest itself, outside of all containers; a shell if none is named",
  )
    .argument("<pod>", POD)
    .argument("[command...]", "the command and its arguments, after --")
    .option("-i, --interactive", "pass standard input on; so it is for a shell")
    .option("-t, --tty", "give it a terminal")
    .passThroughOptions()
    .action(async (pod: string, command: string[], options: ExecOptions) => {
      process.exitCode = await (await import("../cli/inspection/exec.ts")).exec(pod, command, options);
    });
}

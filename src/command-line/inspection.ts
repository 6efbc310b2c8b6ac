/**
 * The commands that ask a running daemon. Each is loaded when it is called.
 */
import type { Command } from "commander";
import type { DaemonOptions } from "../cli/daemon-socket.ts";
import type { DoctorOptions } from "../cli/doctor.ts";
import type { EventsOptions } from "../cli/inspection/events.ts";
import type { ExecOptions } from "../cli/inspection/exec.ts";
import type { GraphOptions } from "../cli/inspection/graph.ts";
import type { InspectOptions } from "../cli/inspection/inspect.ts";
import type { LogsOptions } from "../cli/inspection/logs.ts";
import type { PsOptions } from "../cli/inspection/ps.ts";
import type { TimelineOptions } from "../cli/inspection/timeline.ts";
import type { TopOptions } from "../cli/inspection/top.ts";

/** What names a sandbox, in the usage of every command. */
const POD = "an id, the beginning of one, a pod's name, or namespace/name";
const OUTPUT = "-o, --output <format>";

export function addInspectionCommands(cli: Command): void {
  addLists(cli);
  addAboutOne(cli);
  addStreams(cli);
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

function addLists(cli: Command): void {
  asking(cli, "ps", "list sandboxes, those that are stuck first")
    .option(OUTPUT, "table, wide, json or yaml")
    .option("-w, --watch", "then a line for each change")
    .option("-a, --all", "those that have ended, too")
    .option("-n, --namespace <name>", "only pods of this namespace")
    .action(async (options: PsOptions) => {
      process.exitCode = await (await import("../cli/inspection/ps.ts")).ps(options);
    });
  asking(cli, "doctor", "check the node: configuration, host, containerd, leftovers; says what to do")
    .option("--containerd-config <file>", "containerd's configuration; default: /etc/containerd/config.toml")
    .option(OUTPUT, "table, json or yaml")
    .action(async (options: DoctorOptions) => {
      process.exitCode = await (await import("../cli/doctor.ts")).doctor(options);
    });
  asking(cli, "top", "what pods use and what their VMs cost, live")
    .option("--once", "print it once; so it is without a terminal")
    .option("--sort <order>", "cpu, memory, vmm-memory, name or state")
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
    .option(OUTPUT, "table, json or yaml")
    .action(async (pod: string, options: InspectOptions) => {
      process.exitCode = await (await import("../cli/inspection/inspect.ts")).inspect(pod, options);
    });
  asking(cli, "timeline", "show where a sandbox's time went, with causes")
    .argument("<pod>", POD)
    .option(OUTPUT, "table, json or yaml")
    .action(async (pod: string, options: TimelineOptions) => {
      process.exitCode = await (await import("../cli/inspection/timeline.ts")).timeline(pod, options);
    });
  asking(cli, "graph", "draw a chart, with a sandbox's active states lit")
    .argument("[chart or pod]", `sandbox, boot, container or process; or ${POD}`)
    .option(OUTPUT, "mermaid, svg or json")
    .option("--chart <key>", "which of the sandbox's charts, such as boot or container/ID")
    .action(async (word: string | undefined, options: GraphOptions) => {
      process.exitCode = await (await import("../cli/inspection/graph.ts")).graph(word, options);
    });
}

function addStreams(cli: Command): void {
  asking(cli, "events", "show what has happened, of one sandbox or of all")
    .argument("[pod]", POD)
    .option(OUTPUT, "table, json or yaml")
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

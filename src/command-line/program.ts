/**
 * The command line: every command with its options. Each command is loaded when it is called.
 */
import { Command, Option } from "commander";
import type { InstallOptions } from "../cli/install.ts";
import type { RunOptions } from "../cli/run.ts";
import { addCompletionCommands, addInspectionCommands } from "./inspection.ts";
import { addImageCommands, addTemplateCommands } from "./kept.ts";

/** Printed below the help of every command line. */
const EXIT_CODES = `
Exit codes:
  0   all was done
  1   some of it was not: one of the named images or templates failed, a signal called the work off,
      doctor has found a fault, the node lacks something (install --check), or pods have not ended within the time of drain
  64  the command line is wrong
  70  nothing was done, for a reason that is not the command line
  run, exec: the code of the command in the VM, 128 + N if signal N has ended it`;

/** Commands that see to their output themselves: `run` tells the command in the VM that nobody reads it any more. */
const OWN_OUTPUT: ReadonlySet<string> = new Set(["run", "serve"]);

/** Exit code if the output cannot be written: whoever reads it must not take a part for the whole. */
const NOT_WRITTEN = 70;

/** A reader that has seen enough, such as head(1), is no error. */
function onOutputError(error: NodeJS.ErrnoException): void {
  if (error.code === "EPIPE") process.exit();
  process.stderr.write(`blazar: cannot write the output: ${error.message}\n`);
  process.exit(NOT_WRITTEN);
}

/** Nobody reads what is said beside the output; the work goes on. */
function onMessageError(): void {
  // there is nowhere to say it
}

/** A repeatable option's values, in order. */
function collect(value: string, before: readonly string[] | undefined): string[] {
  return [...(before ?? []), value];
}

export function program(version: string): Command {
  const cli = new Command("blazar").description(
    "Runs Kubernetes pods in microVMs, as a remote sandboxer of containerd.",
  );
  cli.version(version).showHelpAfterError().enablePositionalOptions().exitOverride();
  cli.addHelpText("after", EXIT_CODES);
  process.stdout.on("error", onOutputError);
  process.stderr.on("error", onMessageError);
  cli.hook("preAction", (_, action) => {
    if (action.parent === cli && OWN_OUTPUT.has(action.name())) process.stdout.off("error", onOutputError);
  });
  cli
    .command("serve")
    .description("run the daemon: Controller and Task services for containerd")
    .option("--config <file>", "TOML configuration, see docs/configuration.md")
    .action(async (options: { config?: string }) => {
      const { runDaemon } = await import("../cli/serve.ts");
      await runDaemon(options);
    });
  cli
    .command("run")
    .description("run a command in a fresh microVM, without containerd and without root")
    .option("--rootfs <dir>", "the root's directory, shared read-only; writes stay in the VM")
    .option("--image <file>", "an OCI image as an uncompressed tar (docker save, skopeo oci-archive:)")
    .option("--memory <size>", "guest memory, such as 256M")
    .option("--cpus <count>", "virtual processors")
    .option("--env <K=V>", "set a variable; K alone takes its value from here; may be repeated", collect)
    .option("--tty", "give the command a terminal")
    .option("--verbose", "log what is being done to standard error")
    .argument("[command...]", "the command and its arguments, after --")
    .passThroughOptions()
    .action(async (command: string[], options: RunOptions) => {
      const { run } = await import("../cli/run.ts");
      process.exitCode = await run(command, options);
    });
  cli
    .command("install")
    .description("put Blazar into containerd's configuration, by a drop-in; says what is left to do")
    .option("--check", "change nothing; say what the node lacks, and what to do about it")
    .option("--config <file>", "the daemon's configuration, see docs/configuration.md")
    .option("--containerd-config <file>", "containerd's configuration; default: /etc/containerd/config.toml")
    .addOption(
      new Option("-o, --output <format>", "how --check is written").choices(["table", "json", "yaml"]),
    )
    .action(async (options: InstallOptions) => {
      process.exitCode = await (await import("../cli/install.ts")).install(options);
    });
  addInspectionCommands(cli, version);
  addTemplateCommands(cli.command("template").description("templates that VMs are cloned from"));
  addImageCommands(cli.command("image").description("disks of containers' read-only layers"));
  addCompletionCommands(cli);
  return cli;
}

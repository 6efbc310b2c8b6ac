/**
 * The CLI's entry: parses the command line, calls a command in cli/, and turns errors into exit codes.
 *
 * Each command is a bundle of its own (setup/lib/dist.ts), loaded when it is called. So `blazar --version` does not
 * load gRPC, and a daemon does not keep the text of all other commands in memory.
 */
import { Command, CommanderError } from "commander";
import type { RunOptions } from "./cli/run.ts";
import { addCompletionCommands, addInspectionCommands } from "./command-line/inspection.ts";
import { addImageCommands, addTemplateCommands } from "./command-line/kept.ts";
import { reasonOf } from "./contracts/errors.ts";
import { harmless } from "./lib/harmless.ts";

/** The version in package.json; put in its place when this file is bundled (setup/lib/dist.ts). */
declare const BLAZAR_VERSION: string;

/** Exit code of a command that failed by itself (sysexits(3), EX_SOFTWARE). The code of a command in a VM passes through. */
const FAILED = 70;
/** Exit code of a command line that says nothing (EX_USAGE). */
const MISUSED = 64;

const EXIT_CODES = `
Exit codes:
  0   all was done
  1   some of it was not: one of the named images or templates failed, or a signal called the work off
  64  the command line is wrong
  70  nothing was done, for a reason that is not the command line
  run, exec: the code of the command in the VM, 128 + N if signal N has ended it`;

/** A repeatable option's values, in order. */
function collect(value: string, before: readonly string[] | undefined): string[] {
  return [...(before ?? []), value];
}

function program(): Command {
  const cli = new Command("blazar").description(
    "Runs Kubernetes pods in microVMs, as a remote sandboxer of containerd.",
  );
  cli.version(BLAZAR_VERSION).showHelpAfterError().enablePositionalOptions().exitOverride();
  cli.addHelpText("after", EXIT_CODES);
  cli
    .command("serve")
    .description("run the daemon: Controller and Task services for containerd")
    .option("--config <file>", "TOML configuration, see docs/configuration.md")
    .action(async (options: { config?: string }) => {
      const { runDaemon } = await import("./cli/serve.ts");
      process.exitCode = await runDaemon(options);
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
      const { run } = await import("./cli/run.ts");
      process.exitCode = await run(command, options);
    });
  addInspectionCommands(cli);
  addTemplateCommands(cli.command("template").description("templates that VMs are cloned from"));
  addImageCommands(cli.command("image").description("disks of containers' read-only layers"));
  addCompletionCommands(cli);
  return cli;
}

// a reader that has seen enough, such as head(1), is no error
process.stdout.on("error", (error: NodeJS.ErrnoException) => {
  if (error.code === "EPIPE") process.exit();
  throw error;
});

try {
  await program().parseAsync(process.argv);
} catch (error) {
  process.exitCode = exitCodeOf(error);
}

/** Tells what went wrong, unless the parser has done so. */
function exitCodeOf(error: unknown): number {
  if (error instanceof CommanderError) return error.exitCode === 0 ? 0 : MISUSED;
  process.stderr.write(`blazar: ${harmless(reasonOf(error), { lines: true, most: 16_384 })}\n`);
  // by name: each bundle has a BlazarError class of its own
  if (error instanceof Error && error.name !== "BlazarError") process.stderr.write(`${error.stack ?? ""}\n`);
  return FAILED;
}

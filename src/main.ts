/**
 * The CLI's entry: parses the command line, calls a command in cli/, and turns errors into exit codes.
 *
 * Each command is a bundle of its own (setup/lib/dist.ts), loaded when it is called. So `blazar --version` does not
 * load gRPC, and a daemon does not keep the text of all other commands in memory.
 */
import { Command, CommanderError } from "commander";
import type { ImageListOptions, ImageOptions } from "./cli/image.ts";
import type { RunOptions } from "./cli/run.ts";
import type { UiOptions } from "./cli/ui.ts";
import type { TemplateBuildOptions, TemplateListOptions, TemplateOptions } from "./cli/template.ts";
import { reasonOf } from "./contracts/errors.ts";

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
  run: the code of the command in the VM, 128 + N if signal N has ended it`;

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
  cli
    .command("ui")
    .description("serve the state-chart page on 127.0.0.1, and print its address")
    .option("--port <number>", "where it is served; default: a free port")
    .option("--address <socket>", "the daemon's inspection socket")
    .option("--offline", "without a daemon: only for journals and bundles that are dropped onto the page")
    .action(async (options: UiOptions) => {
      const { serveUi } = await import("./cli/ui.ts");
      process.exitCode = await serveUi(options, BLAZAR_VERSION);
    });
  addTemplateCommands(cli.command("template").description("templates that VMs are cloned from"));
  addImageCommands(cli.command("image").description("disks of containers' read-only layers"));
  return cli;
}

/** A command on what a daemon keeps. */
function keptCommand(group: Command, name: string, description: string): Command {
  return group
    .command(name)
    .description(description)
    .option("--config <file>", "the daemon's configuration, see docs/configuration.md")
    .option("--verbose", "show the steps, and log what is being done to standard error");
}

function addImageCommands(image: Command): void {
  keptCommand(image, "ls", "list images, the last used first")
    .option("--json", "as JSON")
    .action(async (options: ImageListOptions) => {
      process.exitCode = await (await import("./cli/image.ts")).listImages(options);
    });
  keptCommand(
    image,
    "prepare",
    "make the image of an OCI image or of layers, unless it is there; prints its key",
  )
    .argument(
      "<image or layer...>",
      "full name of an OCI image in containerd; or directories, the topmost first",
    )
    .action(async (words: string[], options: ImageOptions) => {
      process.exitCode = await (await import("./cli/image.ts")).prepareImage(words, options);
    });
  keptCommand(image, "rm", "remove images that no container uses")
    .argument("<key...>", "keys, or what they begin with")
    .action(async (keys: string[], options: ImageOptions) => {
      process.exitCode = await (await import("./cli/image.ts")).removeImages(keys, options);
    });
  keptCommand(image, "verify", "read images and say whether they are whole; all of them if none is named")
    .argument("[key...]", "keys, or what they begin with")
    .action(async (keys: string[], options: ImageOptions) => {
      process.exitCode = await (await import("./cli/image.ts")).verifyImages(keys, options);
    });
}

function addTemplateCommands(template: Command): void {
  const command = (name: string, description: string): Command => keptCommand(template, name, description);
  command("build", "build the template of a size of VM, unless it is there; prints its key")
    .option("--memory <size>", "guest memory, such as 256M; default: as configured")
    .option("--cpus <count>", "virtual processors; default: as configured")
    .action(async (options: TemplateBuildOptions) => {
      process.exitCode = await (await import("./cli/template.ts")).buildTemplate(options);
    });
  command("ls", "list templates, the last used first")
    .option("--json", "as JSON")
    .action(async (options: TemplateListOptions) => {
      process.exitCode = await (await import("./cli/template.ts")).listTemplates(options);
    });
  command("rm", "remove templates that no VM uses")
    .argument("<key...>", "keys, or what they begin with")
    .action(async (keys: string[], options: TemplateOptions) => {
      process.exitCode = await (await import("./cli/template.ts")).removeTemplates(keys, options);
    });
  command("verify", "read templates and say whether they are whole; all of them if none is named")
    .argument("[key...]", "keys, or what they begin with")
    .action(async (keys: string[], options: TemplateOptions) => {
      process.exitCode = await (await import("./cli/template.ts")).verifyTemplates(keys, options);
    });
}

try {
  await program().parseAsync(process.argv);
} catch (error) {
  process.exitCode = exitCodeOf(error);
}

/** Tells what went wrong, unless the parser has done so. */
function exitCodeOf(error: unknown): number {
  if (error instanceof CommanderError) return error.exitCode === 0 ? 0 : MISUSED;
  process.stderr.write(`blazar: ${reasonOf(error)}\n`);
  // by name: each bundle has a BlazarError class of its own
  if (error instanceof Error && error.name !== "BlazarError") process.stderr.write(`${error.stack ?? ""}\n`);
  return FAILED;
}

#!/usr/bin/env node
/**
 * The CLI's entry: parses the command line, hands over to a command in cli/, and turns errors into exit codes.
 *
 * A command's module is loaded when it is called, so that `blazar --version` does not pay for gRPC.
 */
import { Command } from "commander";
import { BlazarError, reasonOf } from "./contracts/errors.ts";

/** Exit code of a command that failed by itself, as sysexits(3) EX_SOFTWARE; a run command's own code passes through. */
const FAILED = 70;

function program(): Command {
  const cli = new Command("blazar").description(
    "Runs Kubernetes pods in microVMs, as a remote sandboxer of containerd.",
  );
  cli.version("0.1.0").showHelpAfterError();
  cli
    .command("serve")
    .description("run the daemon: Controller and Task services for containerd")
    .option("--config <file>", "TOML configuration, see docs/configuration.md")
    .action(async (options: { config?: string }) => {
      const [{ serve }, { wireDaemon }] = await Promise.all([
        import("./cli/serve.ts"),
        import("./cli/wiring.ts"),
      ]);
      process.exitCode = await serve(options, wireDaemon);
    });
  return cli;
}

try {
  await program().parseAsync(process.argv);
} catch (error) {
  process.stderr.write(`blazar: ${reasonOf(error)}\n`);
  if (!(error instanceof BlazarError) && error instanceof Error)
    process.stderr.write(`${error.stack ?? ""}\n`);
  process.exitCode = FAILED;
}

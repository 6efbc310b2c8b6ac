/**
 * The CLI's entry: parses the command line, calls a command in cli/, and turns errors into exit codes.
 *
 * Each command is a bundle of its own (setup/lib/dist.ts), loaded when it is called. So `blazar --version` does not
 * load gRPC, and a daemon does not keep the text of all other commands in memory.
 */
import { CommanderError } from "commander";
import { program } from "./command-line/program.ts";
import { reasonOf } from "./contracts/errors.ts";
import { isMisuse } from "./contracts/misuse.ts";
import { harmless } from "./lib/harmless.ts";

/** The version in package.json; put in its place when this file is bundled (setup/lib/dist.ts). */
declare const BLAZAR_VERSION: string;

/** Exit code of a command that failed by itself (sysexits(3), EX_SOFTWARE). The code of a command in a VM passes through. */
const FAILED = 70;
/** Exit code of a command line that says nothing (EX_USAGE). */
const MISUSED = 64;

try {
  await program(BLAZAR_VERSION).parseAsync(process.argv);
} catch (error) {
  process.exitCode = exitCodeOf(error);
}

/** Tells what went wrong, unless the parser has done so. */
function exitCodeOf(error: unknown): number {
  if (error instanceof CommanderError) return error.exitCode === 0 ? 0 : MISUSED;
  process.stderr.write(`blazar: ${harmless(reasonOf(error), { lines: true, most: 16_384 })}\n`);
  // by name: each bundle has a BlazarError class of its own
  if (error instanceof Error && error.name !== "BlazarError") process.stderr.write(`${error.stack ?? ""}\n`);
  return isMisuse(error) ? MISUSED : FAILED;
}

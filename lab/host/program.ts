/**
 * Runs a program of the host to its end.
 *
 * Nothing goes through a shell. A program that fails becomes an error with what it wrote to standard error.
 */
import { execFile } from "node:child_process";
import { promisify } from "node:util";
import { blazarError, reasonOf } from "../../src/contracts/errors.ts";

const execute = promisify(execFile);
const TIMEOUT_MS = 60_000;
const MAX_OUTPUT_BYTES = 64 * 2 ** 20;

/** Returns the program's standard output. Throws HostResource with what it wrote to standard error. */
export async function runProgram(program: string, args: readonly string[]): Promise<string> {
  try {
    const options = { timeout: TIMEOUT_MS, maxBuffer: MAX_OUTPUT_BYTES };
    const { stdout } = await execute(program, [...args], options);
    return stdout;
  } catch (cause) {
    const said = (cause as { stderr?: string }).stderr?.trim() ?? "";
    const reason = said === "" ? reasonOf(cause) : said;
    throw blazarError("HostResource", `run ${program} ${args.join(" ")}`, reason, { cause });
  }
}

/**
 * Commands in a running container, as text: by ExecSync, and typed into a shell with a terminal.
 */
import { PassThrough } from "node:stream";
import type { CriClient } from "./client.ts";

/** A finished command. */
export interface Finished {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

/** The words of a command; a string is given to a shell. */
export function commandWords(command: string | readonly string[]): string[] {
  return typeof command === "string" ? ["sh", "-c", command] : [...command];
}

/** Runs a command by ExecSync. @param timeout seconds until it is killed; 0 means never */
export async function execText(
  cri: CriClient,
  containerId: string,
  command: string | readonly string[],
  timeout = 0,
): Promise<Finished> {
  const { stdout, stderr, exitCode } = await cri.execSync(containerId, commandWords(command), timeout);
  return { code: exitCode, stdout: Buffer.from(stdout).toString(), stderr: Buffer.from(stderr).toString() };
}

/**
 * Runs a shell with a terminal, over the streaming URL as `kubectl exec -it` does; types into it and waits for its end.
 * `stdout` is the shell's screen.
 * @param size columns and rows of the terminal; the runtime's own if absent
 */
export async function typeIntoShell(
  cri: CriClient,
  containerId: string,
  typed: readonly string[],
  size?: readonly [number, number],
): Promise<Finished> {
  const screen = new PassThrough();
  const chunks: Buffer[] = [];
  screen.on("data", (chunk: Buffer) => chunks.push(chunk));
  const streams = { tty: true, stdin: new PassThrough(), stdout: screen };
  const shell = await cri.exec(containerId, ["sh"], streams);
  if (size !== undefined) shell.resize(...size);
  for (const line of typed) await shell.write(line);
  const code = await shell.exitCode;
  return { code, stdout: Buffer.concat(chunks).toString(), stderr: "" };
}

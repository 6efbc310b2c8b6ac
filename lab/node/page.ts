/**
 * The state-chart page of a private node: `blazar ui` as a child process, on the node's inspection socket.
 */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { blazarError } from "../../src/contracts/errors.ts";

export interface ServedPage {
  /** With the token. */
  readonly url: string;
  stop(): Promise<void>;
}

/** @param program the bundled product */
export async function servePage(program: string, stateDirectory: string): Promise<ServedPage> {
  const args = [program, "ui", "--address", join(stateDirectory, "inspection.sock")];
  // a group of its own: a Ctrl-C reaches only this process, which ends it in order
  const child = spawn(process.execPath, args, { stdio: ["ignore", "pipe", "inherit"], detached: true });
  const ended = once(child, "exit");
  const lines = createInterface({ input: child.stdout });
  const first = await Promise.race([once(lines, "line"), ended.then(() => [])]);
  const [url] = first as [string?];
  if (url === undefined)
    throw blazarError("Internal", "serve the page", "blazar ui has ended without an address");
  const stop = async (): Promise<void> => {
    child.kill("SIGTERM");
    await ended;
  };
  return { url, stop };
}

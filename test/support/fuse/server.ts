/**
 * The file server's program on a directory, with a client that is connected to it.
 */
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import path from "node:path";
import { artifacts } from "../../../setup/steps/artifacts.ts";
import { FuseClient } from "./client.ts";

export interface ServedOptions {
  /** A program that starts it, with arguments. */
  readonly wrapper?: readonly string[];
  readonly writable?: boolean;
  /** More of its command line. */
  readonly options?: readonly string[];
}

export class ServedDirectory {
  private constructor(
    readonly client: FuseClient,
    readonly process: ChildProcess,
    private readonly output: () => string,
  ) {}

  /** Starts the program; its socket goes into `scratch`. */
  static async start(
    root: string,
    scratch: string,
    { wrapper = [], writable = false, options: more = [] }: ServedOptions = {},
  ): Promise<ServedDirectory> {
    const socket = path.join(scratch, "share.sock");
    const options = [...(writable ? ["--writable"] : []), ...more];
    const [program = "", ...args] = [
      ...wrapper,
      artifacts().fileServer,
      ...options,
      "--root",
      root,
      "--socket",
      socket,
    ];
    const child = spawn(program, args, { stdio: ["ignore", "inherit", "pipe"] });
    let output = "";
    child.stderr?.on("data", (chunk) => {
      output += String(chunk);
    });
    return new ServedDirectory(await FuseClient.connect(socket), child, () => output);
  }

  /** How the program ends, and what it says then. */
  async end(): Promise<{ readonly code: number | null; readonly output: string }> {
    if (this.process.exitCode === null && this.process.signalCode === null) await once(this.process, "exit");
    return { code: this.process.exitCode, output: this.output() };
  }

  async close(): Promise<void> {
    this.client.close();
    await this.end();
  }
}

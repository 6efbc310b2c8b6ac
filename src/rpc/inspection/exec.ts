/**
 * Exec of the inspection socket: from a bidirectional call to a process in a guest itself (contracts/guest-shell.ts).
 *
 * The first message starts it; it ends with the call, however that ends. Output is consumed when HTTP/2 has taken it, and input is
 * read while the guest has room, so a slow end on either side is all that waits.
 */
import type { ServerDuplexStream } from "@grpc/grpc-js";
import { blazarError } from "../../contracts/errors.ts";
import type { GuestShell, GuestShells, ShellListener, ShellRequest } from "../../contracts/guest-shell.ts";
import type { ExecRequest, ExecResponse, ExecStart } from "../generated/blazar/inspection/v1/inspection.ts";
import { toServiceError } from "../status.ts";
import type { ExecHandler } from "./service.ts";

type Call = ServerDuplexStream<ExecRequest, ExecResponse>;

/** What a terminal may have in either direction. */
const MOST_CELLS = 65_535;

export function createExecHandler(shells: GuestShells): ExecHandler {
  return (call) => {
    new ExecCall(call, shells);
  };
}

class ExecCall implements ShellListener {
  private shell: GuestShell | undefined;
  private started = false;
  private over = false;

  constructor(
    private readonly call: Call,
    private readonly shells: GuestShells,
  ) {
    call.on("data", (message: ExecRequest) => this.onMessage(message));
    call.on("end", () => this.onEnd());
    call.on("cancelled", () => this.finish());
    // of the call's own, such as a client that is gone
    call.on("error", () => this.finish());
  }

  output(stream: "stdout" | "stderr", bytes: Uint8Array, consumed: () => void): void {
    if (this.over) return;
    const copy = Buffer.from(bytes);
    this.call.write(stream === "stdout" ? { stdout: copy } : { stderr: copy }, () => consumed());
  }

  room(): void {
    this.call.resume();
  }

  ended(status: number): void {
    if (this.over) return;
    this.over = true;
    this.call.write({ status });
    this.call.end();
  }

  failed(error: unknown): void {
    if (this.over) return;
    this.over = true;
    this.shell?.close();
    this.call.emit("error", toServiceError(error));
  }

  private onMessage({ start, stdin, resize, stdinEnded }: ExecRequest): void {
    if (this.over) return;
    if (start !== undefined) return void this.begin(start);
    if (this.shell === undefined) return this.failed(refused("the first message must start it"));
    if (stdin !== undefined && !this.shell.input(stdin)) this.call.pause();
    if (resize !== undefined) this.shell.resize(cells(resize.rows), cells(resize.columns));
    if (stdinEnded !== undefined) this.shell.endInput();
  }

  private async begin(start: ExecStart): Promise<void> {
    if (this.started) return this.failed(refused("it was started before"));
    this.started = true;
    // input waits until there is somebody to take it
    this.call.pause();
    try {
      const shell = await this.shells.openShell(start.id, requestOf(start), this);
      this.shell = shell;
      if (this.over) shell.close();
      else this.call.resume();
    } catch (error) {
      this.failed(error);
    }
  }

  private onEnd(): void {
    if (!this.started) this.failed(refused("the first message must start it"));
    this.shell?.endInput();
  }

  private finish(): void {
    this.over = true;
    this.shell?.close();
  }
}

function requestOf({ command, terminal, rows, columns }: ExecStart): ShellRequest {
  return { command, ...(terminal ? { terminal: { rows: cells(rows), columns: cells(columns) } } : {}) };
}

function cells(count: number): number {
  return Math.min(count, MOST_CELLS);
}

function refused(reason: string) {
  return blazarError("InvalidArgument", "run a process in the guest itself", reason);
}

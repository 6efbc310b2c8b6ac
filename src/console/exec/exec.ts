/**
 * `blazar exec`: joins this process's standard streams with a process in a guest itself.
 *
 * With a terminal, what it sends reaches this terminal as it is, as with ssh(1): that is what a terminal is for. Without one, a guest's
 * output is made harmless where somebody looks at it, and passed on as it is where it goes into a file or a pipe.
 */
import { type BlazarError, blazarError } from "../../contracts/errors.ts";
import type { InspectionClient } from "../../rpc/inspection/client.ts";
import { LogText } from "../log-text.ts";
import { DEFAULT_SIZE, terminalSize } from "../screen.ts";
import { GiveUp } from "./give-up.ts";

export interface ExecView {
  readonly id: string;
  readonly command: readonly string[];
  /** Its standard input is this process's. */
  readonly interactive: boolean;
  readonly terminal: boolean;
}

/** Standard streams, of which stdin may be a terminal. */
export type Streams = Pick<NodeJS.Process, "stdin" | "stdout" | "stderr">;

/** Resolves to the process's status. Rejects with the daemon's own error. */
export async function exec(
  daemon: Pick<InspectionClient, "exec" | "errorOf">,
  { id, command, interactive, terminal }: ExecView,
  streams: Streams,
): Promise<number> {
  const { stdin, stdout, stderr } = streams;
  const call = daemon.exec();
  const size = () => (stdout.isTTY ? terminalSize(stdout) : DEFAULT_SIZE);
  const tellSize = () => call.write({ resize: size() });
  const giveUp = new GiveUp();
  let leave = (): void => undefined;
  const input = (bytes: Buffer) => {
    if (terminal && giveUp.typed(bytes, Date.now())) return leave();
    if (call.write({ stdin: bytes })) return;
    stdin.pause();
    call.once("drain", () => stdin.resume());
  };
  const endInput = () => call.write({ stdinEnded: {} });
  const show = { stdout: shown(stdout, terminal), stderr: shown(stderr, terminal) };
  try {
    call.write({ start: { id, command: [...command], terminal, ...size() } });
    if (interactive) {
      if (terminal && stdin.isTTY) stdin.setRawMode(true);
      stdin.on("data", input);
      stdin.once("end", endInput);
    } else endInput();
    if (terminal) stdout.on("resize", tellSize);
    return await new Promise<number>((resolve, reject) => {
      let status: number | undefined;
      leave = () => reject(silent(id));
      call.on("data", (message) => {
        giveUp.heard();
        if (message.stdout !== undefined) wait(call, show.stdout(message.stdout), stdout);
        if (message.stderr !== undefined) wait(call, show.stderr(message.stderr), stderr);
        status ??= message.status;
      });
      call.on("error", (error) => reject(daemon.errorOf(error)));
      call.on("end", () => (status === undefined ? reject(unanswered(id)) : resolve(status)));
    });
  } finally {
    call.cancel();
    stdout.off("resize", tellSize);
    stdin.off("data", input);
    stdin.off("end", endInput);
    if (terminal && stdin.isTTY) stdin.setRawMode(false);
    stdin.pause();
  }
}

/** Returns what writes to a stream, and says whether more may come. */
function shown(stream: NodeJS.WriteStream, terminal: boolean): (bytes: Uint8Array) => boolean {
  if (terminal || !stream.isTTY) return (bytes) => stream.write(bytes);
  const text = new LogText();
  return (bytes) => stream.write(text.next(bytes));
}

function wait(call: NodeJS.ReadableStream, ready: boolean, stream: NodeJS.WriteStream): void {
  if (ready) return;
  call.pause();
  stream.once("drain", () => call.resume());
}

function silent(id: string): BlazarError {
  const remedy = "blazar why says what the sandbox waits for";
  return blazarError(
    "GuestNotReady",
    "go on with the command",
    "Ctrl-C came three times, and nothing from the guest",
    {
      ...{ subject: id, remedy },
    },
  );
}

function unanswered(id: string): BlazarError {
  return blazarError("GuestLost", "run the command", "the daemon ended it without a status", { subject: id });
}

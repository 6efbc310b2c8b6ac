/**
 * One process in a guest itself: its streams on the guest's link, and its end.
 *
 * Credit bounds what waits here in either direction, whatever the guest or its reader does. The guest is hostile: what it may not
 * send ends its link (stream.ts), and an end that it tells of a process that it was not asked for is not looked at.
 */
import type { Subscription } from "rxjs";
import type { Deadlines } from "../../../contracts/deadlines.ts";
import { reasonOf } from "../../../contracts/errors.ts";
import type { GuestShell, ShellListener, ShellRequest } from "../../../contracts/guest-shell.ts";
import type { Logger } from "../../../contracts/logger.ts";
import { GatheredBytes } from "../../../lib/gathered-bytes.ts";
import { GUEST_ITSELF, type GuestProcess } from "../../../protocol/guest/messages.ts";
import { StreamReceiver, StreamSender } from "../../../protocol/wire/stream.ts";
import type { GuestEvent } from "../../guest/guest-events.ts";
import type { GuestLink } from "../../guest/link.ts";

export type ShellLink = Pick<
  GuestLink,
  "allotStream" | "openStream" | "closeStream" | "sendFrame" | "request" | "events$" | "alive"
>;

export interface ShellPorts {
  readonly deadlines: Pick<Deadlines, "processStart" | "guestRequest">;
  readonly logger: Logger;
}

/** Bytes that either end lets the other one be ahead. */
const WINDOW = 64 * 1024;
const SHELL = ["sh"] as const;
const PLACES = ["/bin", "/rootfs/sbin", "/rootfs/usr/bin", "/rootfs/usr/sbin"] as const;

/** Starts it. Throws why it could not be started; then nothing is left. */
export async function openShell(
  link: ShellLink,
  request: ShellRequest,
  listener: ShellListener,
  ports: ShellPorts,
): Promise<GuestShell> {
  const shell = new Shell(link, request, listener, ports);
  await shell.start();
  return shell;
}

class Shell implements GuestShell {
  private readonly streams: { readonly stdin: number; readonly stdout: number; readonly stderr: number };
  private readonly execId: string;
  private readonly sender: StreamSender;
  private readonly events: Subscription;
  /** Outputs that have not ended. */
  private readonly open = new Set<number>();
  private status: number | undefined;
  private over = false;

  constructor(
    private readonly link: ShellLink,
    private readonly request: ShellRequest,
    private readonly listener: ShellListener,
    private readonly ports: ShellPorts,
  ) {
    const stderr = request.terminal === undefined ? link.allotStream() : 0;
    this.streams = { stdin: link.allotStream(), stdout: link.allotStream(), stderr };
    // stream numbers are never used again on this link
    this.execId = `shell-${this.streams.stdin}`;
    this.sender = new StreamSender({
      ...{ stream: this.streams.stdin, capacity: WINDOW, send: (frame) => link.sendFrame(frame) },
      onRoom: () => this.tell(() => listener.room()),
    });
    this.openInput();
    this.openOutput("stdout", this.streams.stdout);
    if (stderr !== 0) this.openOutput("stderr", stderr);
    this.events = link.events$.subscribe((event) => this.onEvent(event));
  }

  async start(): Promise<void> {
    const { link, execId, streams: stdio } = this;
    const process = processOf(this.request);
    const deadlineMs = this.ports.deadlines.processStart;
    try {
      await link.request("process.exec", { id: GUEST_ITSELF, execId, process, stdio }, { deadlineMs });
    } catch (error) {
      this.close();
      throw error;
    }
  }

  input(bytes: Uint8Array): boolean {
    if (this.over) return true;
    this.sender.write(bytes);
    return this.sender.room > 0;
  }

  endInput(): void {
    if (!this.over) this.sender.finish();
  }

  resize(rows: number, columns: number): void {
    if (this.over || this.request.terminal === undefined) return;
    const { guestRequest: deadlineMs } = this.ports.deadlines;
    const params = { id: GUEST_ITSELF, execId: this.execId, rows, columns };
    this.link.request("process.resize", params, { deadlineMs }).catch((error: unknown) => {
      this.ports.logger.debug({ err: error }, "a shell's terminal could not be resized");
    });
  }

  close(): void {
    if (this.over) return;
    this.over = true;
    this.events.unsubscribe();
    for (const stream of Object.values(this.streams)) if (stream !== 0) this.link.closeStream(stream);
    if (!this.link.alive) return;
    const { guestRequest: deadlineMs } = this.ports.deadlines;
    const params = { id: GUEST_ITSELF, execId: this.execId };
    this.link.request("process.abandon", params, { deadlineMs }).catch((error: unknown) => {
      if (this.link.alive)
        this.ports.logger.warn({ reason: reasonOf(error) }, "a shell may still run in the guest");
    });
  }

  private openInput(): void {
    const { stdin } = this.streams;
    this.link.openStream(stdin, {
      acknowledged: (offset, window) => this.sender.acknowledged(offset, window),
      detached: () => this.sender.detached(),
    });
  }

  private openOutput(name: "stdout" | "stderr", stream: number): void {
    this.open.add(stream);
    const gathered = new GatheredBytes(WINDOW, (bytes) => {
      const { length } = bytes;
      this.tell(() => this.listener.output(name, bytes, () => this.consumed(receiver, length)));
    });
    const receiver: StreamReceiver = new StreamReceiver({
      ...{ stream, window: WINDOW, send: (frame) => this.link.sendFrame(frame) },
      onData: (bytes) => gathered.add(bytes),
      onEnd: () => {
        gathered.flush();
        receiver.consumedEnd();
        this.open.delete(stream);
        this.endIfDone();
      },
    });
    this.link.openStream(stream, {
      attached: () => receiver.attached(),
      data: (offset, bytes) => receiver.data(offset, bytes),
      end: (offset) => receiver.end(offset),
    });
  }

  private consumed(receiver: StreamReceiver, count: number): void {
    if (!this.over) receiver.consumed(count);
  }

  private onEvent(event: GuestEvent): void {
    if (event.type === "lost") {
      this.tell(() => this.listener.failed(event.error));
      return this.close();
    }
    if (event.type !== "processExited") return;
    const { id, execId, status } = event.exit;
    if (id !== GUEST_ITSELF || execId !== this.execId) return;
    this.status ??= status;
    this.endIfDone();
  }

  private endIfDone(): void {
    const { status } = this;
    if (status === undefined || this.open.size > 0) return;
    this.tell(() => this.listener.ended(status));
    this.close();
  }

  private tell(act: () => void): void {
    if (!this.over) act();
  }
}

function processOf({ command, terminal }: ShellRequest): GuestProcess {
  return {
    args: command.length === 0 ? [...SHELL] : [...command],
    env: [`PATH=${PLACES.join(":")}`, "HOME=/root", "TERM=xterm", "PS1=guest:\\w\\$ "],
    cwd: "/",
    ...{ terminal: terminal !== undefined, rows: terminal?.rows ?? 0, columns: terminal?.columns ?? 0 },
    ...{ uid: 0, gid: 0, additionalGids: [], umask: 0o022 },
    ...{ noNewPrivileges: false, capabilities: undefined, rlimits: [], oomScoreAdj: 0 },
  };
}

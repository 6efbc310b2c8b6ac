/**
 * A guest without the daemon: the smallest QEMU command line that the agent runs under, the agent's port as a Peer, and a
 * QMP connection for disks. For tests of the agent alone; the driver in src/vmm has its own tests.
 *
 * The VM is a child of the test, which kills it by its pid. Everything that it needs is in the directory that it is given.
 */
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync, readFileSync } from "node:fs";
import { mkdir } from "node:fs/promises";
import net from "node:net";
import path from "node:path";
import { artifacts } from "../../setup/steps/artifacts.ts";
import {
  AGENT_PORT_NAME,
  containerRef,
  GUEST_REQUESTS,
  type GuestHello,
  type GuestOp,
  type GuestParams,
  type GuestResult,
  guestHello,
  type ProcessExited,
  processExited,
  SHARE_PORTS,
} from "../../src/protocol/guest/messages.ts";
import { nicMac } from "../../src/protocol/guest/nics.ts";
import { GUEST_MAX_FRAME_BYTES } from "../../src/protocol/wire/frame.ts";
import { Peer } from "../../src/protocol/wire/peer.ts";
import { StreamReceiver, StreamSender } from "../../src/protocol/wire/stream.ts";
import { MACHINE } from "../../src/vmm/qemu/command-line.ts";
import { EMULATED_CPU } from "../../src/vmm/qemu/tcg/emulation.ts";

const REATTACH_AFTER_MS = 100;
const HELLO_WITHIN_MS = 1000;
const encoder = new TextEncoder();
const decoder = new TextDecoder();
const text = {
  encode: (value: string) => encoder.encode(value),
  decode: (bytes: Uint8Array) => decoder.decode(bytes),
};

export interface BareGuestOptions {
  /** Exists and is the guest's alone. */
  readonly directory: string;
  readonly vmlinux: string;
  readonly initramfs: string;
  readonly memoryMiB?: number;
  /** More of the kernel's command line. */
  readonly append?: string;
  /** Network interfaces; each is a socket `nic<n>.sock` in the directory, for whom it is a stream of frames. */
  readonly nics?: number;
}

/** What a process has written to one stream. */
export interface Output {
  /** All bytes so far, as text. */
  text(): string;
  readonly bytes: () => number;
  /** Resolves at the end of the stream. */
  readonly ended: Promise<void>;
  /** Resolves when the text so far satisfies `condition`. */
  until(condition: (text: string) => boolean): Promise<string>;
}

export class BareGuest {
  readonly peer: Peer;
  readonly share: string;
  readonly startedAt = performance.now();
  /** What the agent broke after its hello; each is answered by a new link. */
  readonly violations: Error[] = [];
  hello: GuestHello | undefined;
  private socket: net.Socket | undefined;
  private nextStream = 1;
  private isKilled = false;
  private greeted: ((ok: boolean) => void) | undefined;
  private readonly oomEvents = new Map<string, number>();
  private readonly oomWaiters = new Map<string, () => void>();
  private readonly exits = new Map<string, ProcessExited>();
  private readonly exitWaiters = new Map<string, (event: ProcessExited) => void>();
  readonly exited: Promise<void>;

  private constructor(
    private readonly directory: string,
    private readonly vmm: ChildProcess,
  ) {
    this.share = path.join(directory, "share");
    this.exited = once(vmm, "exit").then(() => undefined);
    this.peer = new Peer({
      session: `test-${process.pid}`,
      text,
      maxFrameBytes: GUEST_MAX_FRAME_BYTES,
      helloBody: () => ({ role: "daemon" }),
      onHello: (hello) => {
        this.hello = guestHello(hello.body, "hello");
        this.greeted?.(true);
        this.greeted = undefined;
      },
      onRequest: () => {
        throw new Error("a guest asks for nothing");
      },
      onEvent: (event, params) => this.event(event, params),
      ownsStreams: true,
      onViolation: (error) => {
        const wasGreeted = this.greeted === undefined;
        this.disconnect();
        if (!wasGreeted) return;
        this.violations.push(error);
        this.comeBack();
      },
    });
  }

  /** Starts the VM; the link is made by {@link connect}. */
  static async launch(options: BareGuestOptions): Promise<BareGuest> {
    const { directory, vmlinux, initramfs } = options;
    await mkdir(path.join(directory, "share"), { recursive: true });
    const khz = Math.round(
      Number(/cpu MHz\s*:\s*([\d.]+)/.exec(readFileSync("/proc/cpuinfo", "utf8"))?.[1]) * 1000,
    );
    const append = `console=ttyS0 quiet panic=-1 reboot=t tsc_early_khz=${khz} tsc=reliable ${options.append ?? ""}`;
    const file = (name: string): string => path.join(directory, name);
    const args = [
      [
        "-M",
        MACHINE,
        "-accel",
        "tcg",
        "-cpu",
        EMULATED_CPU,
        "-m",
        String(options.memoryMiB ?? 256),
        "-smp",
        "1",
      ],
      [
        "-nodefaults",
        "-no-user-config",
        "-no-reboot",
        "-display",
        "none",
        "-serial",
        `file:${file("console.log")}`,
      ],
      ["-kernel", vmlinux, "-initrd", initramfs, "-append", append],
      ["-qmp", `unix:${file("qmp.sock")},server=on,wait=off`],
      ["-chardev", `socket,id=agent,path=${file("agent.sock")},server=on,wait=off`],
      ["-device", "virtio-serial-device", "-device", `virtserialport,chardev=agent,name=${AGENT_PORT_NAME}`],
      ["-chardev", `socket,id=share,path=${file("share.sock")}`],
      ["-device", `virtserialport,chardev=share,name=${SHARE_PORTS.layers}`],
      ["-device", "virtio-scsi-device,id=scsi"],
      ...Array.from({ length: options.nics ?? 0 }, (_, nic) => [
        "-netdev",
        `stream,id=nic${nic},server=on,addr.type=unix,addr.path=${file(`nic${nic}.sock`)}`,
        "-device",
        `virtio-net-device,netdev=nic${nic},mac=${nicMac(nic)}`,
      ]),
    ].flat();
    const server = ["--root", file("share"), "--socket", file("share.sock")];
    // it ends with the VM
    spawn(artifacts().fileServer, server, { stdio: ["ignore", "inherit", "inherit"] });
    while (!existsSync(file("share.sock"))) await new Promise((resolve) => setTimeout(resolve, 2));
    const vmm = spawn("qemu-system-x86_64", args, { stdio: ["ignore", "inherit", "inherit"] });
    return new BareGuest(directory, vmm);
  }

  get pid(): number {
    return this.vmm.pid ?? -1;
  }

  console(): string {
    return readFileSync(path.join(this.directory, "console.log"), "utf8");
  }

  /**
   * Attaches the peer to the agent's port; resolves at the agent's hello. A link that begins with anything else is
   * closed and made again a little later: the guest may not have noticed yet that the one before is gone.
   */
  async connect(): Promise<void> {
    while (!(await this.attach())) await new Promise((resolve) => setTimeout(resolve, REATTACH_AFTER_MS));
  }

  /** As a daemon would, unless the test has connected by itself meanwhile. */
  private comeBack(): void {
    setTimeout(() => {
      if (this.socket === undefined && !this.isKilled) this.connect().catch(() => undefined);
    }, REATTACH_AFTER_MS);
  }

  private async attach(): Promise<boolean> {
    const socket = await connectWhenThere(path.join(this.directory, "agent.sock"), this.vmm);
    this.socket = socket;
    const greeted = new Promise<boolean>((resolve) => {
      this.greeted = resolve;
    });
    socket.on("data", (chunk) => {
      if (this.socket === socket) this.peer.receive(chunk);
    });
    socket.on("error", () => undefined);
    socket.on("close", () => {
      if (this.socket === socket) this.disconnect();
    });
    this.peer.attach((frame) => socket.write(frame));
    // what a hung-up link has left behind may look like the start of a long frame
    const late = setTimeout(() => this.socket === socket && this.disconnect(), HELLO_WITHIN_MS);
    try {
      return await greeted;
    } finally {
      clearTimeout(late);
    }
  }

  disconnect(): void {
    const socket = this.socket;
    this.socket = undefined;
    this.peer.detach();
    socket?.destroy();
    this.greeted?.(false);
    this.greeted = undefined;
  }

  /** Puts bytes on the link that no Peer would send. */
  sendRaw(bytes: Uint8Array): void {
    this.socket?.write(bytes);
  }

  async request<Op extends GuestOp>(op: Op, params: GuestParams<Op>): Promise<GuestResult<Op>> {
    const result = await this.peer.request(op, params).result;
    return GUEST_REQUESTS[op].result(result, op) as GuestResult<Op>;
  }

  /** Has the guest mount the directory {@link share}. */
  async mountShare(): Promise<void> {
    await this.request("share.mount", { share: "layers" });
  }

  /** A stream id that was not used. */
  allotStream(): number {
    return this.nextStream++;
  }

  /** Opens a stream from the guest. */
  output(): { stream: number; output: Output } {
    const stream = this.nextStream++;
    return { stream, output: openOutput(this.peer, stream) };
  }

  /** Opens a stream from the guest that nobody reads: it gives no credit. */
  deafOutput(): number {
    const stream = this.nextStream++;
    this.peer.openStream(stream, {});
    return stream;
  }

  /** Opens a stream to the guest. */
  input(): { stream: number; sender: StreamSender } {
    const stream = this.nextStream++;
    const sender = new StreamSender({ stream, send: (frame) => this.peer.send(frame), capacity: 64 << 20 });
    this.peer.openStream(stream, {
      acknowledged: (offset, window) => sender.acknowledged(offset, window),
      detached: () => sender.detached(),
    });
    return { stream, sender };
  }

  /** Resolves when the process has ended, at once if it has. */
  exit(id: string, execId = ""): Promise<ProcessExited> {
    const key = `${id}/${execId}`;
    const event = this.exits.get(key);
    if (event !== undefined) return Promise.resolve(event);
    return new Promise((resolve) => this.exitWaiters.set(key, resolve));
  }

  hasExited(id: string, execId = ""): boolean {
    return this.exits.has(`${id}/${execId}`);
  }

  /** Plugs a raw image in as a SCSI disk. */
  async plugDisk(serial: string, file: string, readonly = false): Promise<void> {
    await this.qmp("blockdev-add", {
      "node-name": serial,
      driver: "raw",
      "read-only": readonly,
      file: { driver: "file", filename: file, "read-only": readonly },
    });
    await this.qmp("device_add", { driver: "scsi-hd", id: serial, drive: serial, bus: "scsi.0", serial });
  }

  async kill(): Promise<void> {
    this.isKilled = true;
    this.disconnect();
    if (this.vmm.exitCode === null && this.vmm.signalCode === null) {
      this.vmm.kill("SIGKILL");
      await this.exited;
    }
  }

  /** Whether the kernel has killed processes of a container, up to its last exit. */
  oomKills(id: string): number {
    return this.oomEvents.get(id) ?? 0;
  }

  /** Resolves at the next such kill. */
  oomKill(id: string): Promise<void> {
    return new Promise((resolve) => this.oomWaiters.set(id, resolve));
  }

  private tellOom(id: string): void {
    this.oomEvents.set(id, this.oomKills(id) + 1);
    this.oomWaiters.get(id)?.();
  }

  private event(event: string, params: unknown): void {
    if (event === "container.oomKilled") return this.tellOom(containerRef(params, event).id);
    if (event !== "process.exited") return;
    const exit = processExited(params, event);
    const key = `${exit.id}/${exit.execId}`;
    this.exits.set(key, exit);
    this.exitWaiters.get(key)?.(exit);
    this.exitWaiters.delete(key);
  }

  private async qmp(execute: string, parameters: unknown): Promise<void> {
    const socket = await connectWhenThere(path.join(this.directory, "qmp.sock"), this.vmm);
    try {
      let replies = 0;
      let buffered = "";
      socket.write(`${JSON.stringify({ execute: "qmp_capabilities" })}\n`);
      socket.write(`${JSON.stringify({ execute, arguments: parameters })}\n`);
      for await (const chunk of socket) {
        buffered += String(chunk);
        const lines = buffered.split("\n");
        buffered = lines.pop() ?? "";
        for (const line of lines.filter((each) => each.trim() !== "")) {
          if (line.includes('"error"')) throw new Error(line);
          if (line.includes('"return"') && ++replies === 2) return;
        }
      }
    } finally {
      socket.destroy();
    }
  }
}

/** Opens a stream from a guest. */
export function openOutput(peer: Peer, stream: number): Output {
  const chunks: Uint8Array[] = [];
  const watchers = new Set<() => void>();
  let end: () => void = () => undefined;
  const ended = new Promise<void>((resolve) => {
    end = resolve;
  });
  const receiver = new StreamReceiver({
    stream,
    send: (frame) => peer.send(frame),
    onData: (bytes) => {
      chunks.push(bytes.slice());
      receiver.consumed(bytes.length);
      for (const watcher of [...watchers]) watcher();
    },
    onEnd: () => {
      receiver.consumedEnd();
      end();
    },
  });
  peer.openStream(stream, {
    data: (offset, bytes) => receiver.data(offset, bytes),
    end: (offset) => receiver.end(offset),
    attached: () => receiver.attached(),
  });
  const read = (): string => Buffer.concat(chunks).toString();
  const until = (condition: (text: string) => boolean): Promise<string> =>
    new Promise((resolve) => {
      const watcher = (): void => {
        if (!condition(read())) return;
        watchers.delete(watcher);
        resolve(read());
      };
      watchers.add(watcher);
      watcher();
    });
  const bytes = (): number => chunks.reduce((sum, chunk) => sum + chunk.length, 0);
  return { text: read, bytes, ended, until };
}

/** A socket that QEMU is about to make. */
async function connectWhenThere(file: string, vmm: ChildProcess): Promise<net.Socket> {
  for (;;) {
    const socket = net.connect(file);
    const connected = await new Promise<boolean>((resolve) => {
      socket.once("connect", () => resolve(true));
      socket.once("error", () => resolve(false));
    });
    if (connected) return socket;
    if (vmm.exitCode !== null || vmm.signalCode !== null) throw new Error("QEMU has ended");
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
}

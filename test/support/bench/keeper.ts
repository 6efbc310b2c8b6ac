/**
 * The real keeper for tests: built from this checkout, in a directory of its own, with containerd's ends of
 * FIFOs and Task connections.
 */
import { execFile, spawn } from "node:child_process";
import { once } from "node:events";
import { closeSync, constants, openSync } from "node:fs";
import { mkdtemp, open, readFile, rm } from "node:fs/promises";
import { createConnection, Socket } from "node:net";
import { tmpdir } from "node:os";
import path from "node:path";
import { promisify } from "node:util";
import { Cache } from "../../../setup/lib/cache.ts";
import { streamProgress } from "../../../setup/lib/progress.ts";
import { artifacts } from "../../../setup/steps/artifacts.ts";
import { programStep } from "../../../setup/steps/program.ts";
import { perform } from "../../../setup/steps/steps.ts";
import type { Keeper, ProcessSpawn, StdioPaths } from "../../../src/contracts/keeper.ts";
import { silentLogger } from "../../../src/contracts/logger.ts";
import { connectKeeper } from "../../../src/host/keeper/client.ts";
import { startKeeper } from "../../../src/host/keeper/process.ts";
import { pause } from "../../../src/lib/async.ts";
import { type KeeperBench, shell, type TaskCaller } from "../conformance/keeper-bench.ts";
import { Namespaces } from "../network/namespaces.ts";

const TTRPC_HEADER_BYTES = 10;
/** Any descriptor that the process has no other use for. */
const FORK_FD = 8;

let built: Promise<string> | undefined;

/** The keeper's binary, built if its sources have changed since the last set-up. */
export function keeperBinary(): Promise<string> {
  const { cache, quickjs } = artifacts();
  built ??= perform(
    programStep(new Cache(cache), quickjs, "keeper", "keeper/main.ts"),
    streamProgress(),
  ).then(({ binary }) => binary);
  return built;
}

/**
 * containerd's reading end of a FIFO. Open before the keeper's end is, as containerd's is: what is in a FIFO that
 * nobody has open is lost.
 */
export class FifoReader {
  private readonly fd: number;
  private socket: Socket | undefined;

  constructor(fifo: string) {
    this.fd = openSync(fifo, constants.O_RDONLY | constants.O_NONBLOCK);
  }

  /** Starts to read; nothing is taken out of the FIFO before. */
  stream(): Socket {
    this.socket ??= new Socket({ fd: this.fd, readable: true, writable: false });
    return this.socket;
  }

  async toEnd(): Promise<string> {
    const chunks: Buffer[] = [];
    for await (const chunk of this.stream()) chunks.push(chunk as Buffer);
    return Buffer.concat(chunks).toString();
  }

  close(): void {
    if (this.socket === undefined) closeSync(this.fd);
    else this.socket.destroy();
  }
}

export async function writeFifo(fifo: string, text: string | Uint8Array): Promise<void> {
  const file = await open(fifo, constants.O_WRONLY | constants.O_NONBLOCK);
  try {
    await file.writeFile(text);
  } finally {
    await file.close();
  }
}

/** containerd's end of a Task connection. */
export class TaskSocket implements TaskCaller {
  readonly closed: Promise<unknown>;
  private received = Buffer.alloc(0);
  private readonly waiting: { resolve(message: Uint8Array): void; reject(error: Error): void }[] = [];

  constructor(readonly socket: Socket) {
    this.closed = once(socket, "close");
    socket.on("error", () => undefined);
    socket.on("data", (chunk) => this.data(chunk));
    socket.on("close", () => {
      for (const { reject } of this.waiting.splice(0)) reject(new Error("the connection is closed"));
    });
  }

  call(message: Uint8Array): Promise<Uint8Array> {
    this.socket.write(message);
    return new Promise((resolve, reject) => this.waiting.push({ resolve, reject }));
  }

  close(): void {
    this.socket.destroy();
  }

  private data(chunk: Buffer): void {
    this.received = Buffer.concat([this.received, chunk]);
    while (this.received.length >= TTRPC_HEADER_BYTES) {
      const total = TTRPC_HEADER_BYTES + this.received.readUInt32BE(0);
      if (this.received.length < total) return;
      this.waiting.shift()?.resolve(this.received.subarray(0, total));
      this.received = this.received.subarray(total);
    }
  }
}

/** A running keeper and the daemon's client of it. */
export class RealKeeper implements KeeperBench {
  private readonly readers = new Map<string, FifoReader>();
  private readonly namespaces = new Namespaces();

  private constructor(
    readonly directory: string,
    readonly control: string,
    readonly task: string,
    public pid: number,
    readonly logFile: string,
    public keeper: Keeper,
  ) {}

  static async start(): Promise<RealKeeper> {
    const directory = await mkdtemp(path.join(tmpdir(), "blazar-keeper-"));
    const [control, task] = [path.join(directory, "keeper.sock"), path.join(directory, "task.sock")];
    const { pid, logFile } = await startKeeper({
      binary: await keeperBinary(),
      control,
      task,
      log: silentLogger,
    });
    const keeper = await connectKeeper({ control, log: silentLogger });
    return new RealKeeper(directory, control, task, pid, logFile, keeper);
  }

  async restartDaemon(): Promise<Keeper> {
    await this.killDaemon();
    this.keeper = await connectKeeper({ control: this.control, log: silentLogger });
    return this.keeper;
  }

  async killDaemon(): Promise<void> {
    await this.keeper.close();
  }

  async killKeeper(): Promise<void> {
    const { keeper, control, task } = this;
    const deaths = keeper.deaths + 1;
    process.kill(this.pid, "SIGKILL");
    await until(() => keeper.deaths === deaths);
    this.pid = (await startKeeper({ binary: await keeperBinary(), control, task, log: silentLogger })).pid;
    await until(() => keeper.connected && keeper.pid === this.pid);
  }

  get taps(): boolean {
    return process.getuid?.() === 0;
  }

  network(): { readonly path: string; change(): void } | undefined {
    if (!this.taps) return undefined;
    const namespace = this.namespaces.make("net");
    let changes = 0;
    return { path: namespace.path, change: () => namespace.ip(`address add 10.1.0.${++changes}/32 dev lo`) };
  }

  forkable(id: string): ProcessSpawn {
    const env = [`LD_PRELOAD=${artifacts().forkLibrary}`, `BLAZAR_FORK_FD=${FORK_FD}`];
    return { ...shell(id, ""), argv: ["/bin/sleep", "60"], env, forkControl: FORK_FD };
  }

  async fifos(id: string, streams: readonly (keyof StdioPaths)[]): Promise<StdioPaths> {
    const paths = { stdin: "", stdout: "", stderr: "" };
    for (const stream of streams) {
      paths[stream] = path.join(this.directory, `${id}-${stream}`);
      await promisify(execFile)("mkfifo", [paths[stream]]);
      if (stream !== "stdin") this.readers.set(paths[stream], new FifoReader(paths[stream]));
    }
    return paths;
  }

  reader(fifo: string): FifoReader {
    const reader = this.readers.get(fifo);
    if (reader === undefined) throw new Error(`${fifo} was not made by this bench`);
    return reader;
  }

  readToEnd(fifo: string): Promise<string> {
    return this.reader(fifo).toEnd();
  }

  write(fifo: string, text: string): Promise<void> {
    return writeFifo(fifo, text);
  }

  async connectTask(): Promise<TaskSocket> {
    const socket = createConnection({ path: this.task });
    await once(socket, "connect");
    return new TaskSocket(socket);
  }

  /** Everything that the keeper has logged. */
  log(): Promise<string> {
    return readFile(this.logFile, "utf8");
  }

  async dispose(): Promise<void> {
    const keeper = this.keeper.connected
      ? this.keeper
      : await connectKeeper({ control: this.control, log: silentLogger, connectTimeoutMs: 1_000 }).catch(
          () => undefined,
        );
    for (const { id, exit } of keeper?.inventory().processes ?? []) {
      if (exit === undefined) await keeper?.signal(id, 9).catch(() => undefined);
    }
    await keeper?.close();
    await endProcess(this.pid);
    for (const reader of this.readers.values()) reader.close();
    this.namespaces.close();
    await rm(this.directory, { recursive: true, force: true });
  }
}

async function until(happened: () => boolean): Promise<void> {
  const late = performance.now() + 5_000;
  while (!happened()) {
    if (performance.now() > late) throw new Error("it has not happened within five seconds");
    await pause(5);
  }
}

/** Kills the keeper of a test and waits until it is gone. */
export async function endProcess(pid: number): Promise<void> {
  try {
    process.kill(pid, "SIGKILL");
  } catch {
    return;
  }
  // `tail --pid` returns when the process has ended, whoever its parent is.
  await once(spawn("tail", [`--pid=${pid}`, "-s", "0.05", "-f", "/dev/null"]), "exit");
}

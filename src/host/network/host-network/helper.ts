/**
 * One process of pasta(1) that serves an uplink: its start, its end, and what it has said.
 *
 * It says that it serves by writing its pid into a file (inotify(7) tells it). Must not decide what becomes of the uplink.
 */
import { type FSWatcher, watch } from "node:fs";
import { readFile, rm } from "node:fs/promises";
import { join } from "node:path";
import { BlazarError, blazarError } from "../../../contracts/errors.ts";
import type { Keeper } from "../../../contracts/keeper.ts";
import { abortable, deferred, throwIfAborted, withDeadline, within } from "../../../lib/async.ts";
import { cutText } from "../../../lib/cut-text.ts";
import { LOG_FILE, type PastaInput, PID_FILE, pastaProcess } from "./pasta.ts";
import { endHelper, helperId } from "./remove-uplink.ts";

export interface HelperPorts {
  readonly keeper: Pick<Keeper, "spawn" | "signal" | "exited" | "forget">;
  /** How long a helper may take until it serves, in milliseconds. */
  readonly startMs: number;
}

/** From one look whether the helper serves to the next, should nothing be told. */
const LOOK_MS = 50;
/** A process that has ended is known to have ended after this long. */
const REAPED_MS = 200;
const SAID_BYTES = 400;
const STARTED = /Can't run AVX2 build|Started in foreground/;

export class Helper {
  private readonly id: string;
  private readonly calledOff = new AbortController();
  private pid = 0;
  private exit: Promise<string> | undefined;

  constructor(
    private readonly input: Omit<PastaInput, "id">,
    private readonly ports: HelperPorts,
  ) {
    this.id = helperId(input.uplink);
  }

  /** Resolves when it serves. Throws HostResource, DeadlineExceeded, Cancelled after {@link giveUp}. */
  async start(): Promise<void> {
    const { keeper, startMs } = this.ports;
    const { id, input } = this;
    const subject = input.uplink;
    await rm(this.pidFile, { force: true });
    const { signal } = this.calledOff;
    const serving = this.serving();
    try {
      throwIfAborted(signal, { operation: "start pasta", subject });
      const { pid } = await keeper.spawn(pastaProcess({ ...input, id }));
      this.pid = pid;
      const failed = this.follow().then(async (how) => Promise.reject(await this.failure(how)));
      const first = Promise.race([serving.done, failed]);
      const late = () =>
        blazarError("DeadlineExceeded", "start pasta", `it does not serve after ${startMs} ms`, { subject });
      await withDeadline(abortable(first, signal, { operation: "start pasta", subject }), startMs, late);
      failed.catch(() => undefined);
    } finally {
      serving.stop();
    }
  }

  /** It was started by an earlier daemon, and serves or has ended. */
  adopt(pid: number): void {
    this.pid = pid;
    // whoever needs its end asks for `exited`
    this.follow().catch(() => undefined);
  }

  /** How it has ended. Rejects if the keeper is lost. Only after {@link start}. */
  get exited(): Promise<string> {
    return this.exit ?? Promise.reject(new Error("a helper that was never started"));
  }

  /** A start that is under way fails at once. */
  giveUp(): void {
    this.calledOff.abort();
  }

  /** Ends it; nothing of it is left. */
  end(): Promise<void> {
    return endHelper(this.ports.keeper, this.id);
  }

  /** Moves it. One that has ended meanwhile need not move. Throws what `move` throws. */
  async enter(move: (pid: number) => Promise<void>): Promise<void> {
    try {
      await move(this.pid);
    } catch (error) {
      if ((await within(this.exited, REAPED_MS)) === undefined) throw error;
    }
  }

  /** With what it has said. */
  async failure(how: string): Promise<BlazarError> {
    const log = await readFile(join(this.input.directory, LOG_FILE), "utf8").catch(() => "");
    const said = log.split("\n").filter((line) => line !== "" && !STARTED.test(line));
    const reason = cutText([how, ...said].join("; "), SAID_BYTES);
    return blazarError("HostResource", "run pasta", reason, { subject: this.input.uplink });
  }

  private follow(): Promise<string> {
    const exit = this.ports.keeper
      .exited(this.id)
      .then(({ code, signal }) =>
        signal === 0 ? `it has ended with status ${code}` : `it was ended by signal ${signal}`,
      );
    this.exit = exit;
    return exit;
  }

  private get pidFile(): string {
    return join(this.input.directory, PID_FILE);
  }

  /** Looks whenever something changes in its directory, and now and then by itself. */
  private serving(): { readonly done: Promise<void>; stop(): void } {
    const { promise: done, resolve, reject } = deferred<void>();
    const look = async (): Promise<void> => {
      try {
        if ((await readFile(this.pidFile, "utf8")) !== "") resolve();
      } catch (error) {
        // no descriptors left, for example: then it is not the helper that is late
        if ((error as NodeJS.ErrnoException).code !== "ENOENT")
          reject(BlazarError.wrap(error, "HostResource", { operation: "see whether pasta serves" }));
      }
    };
    const timer = setInterval(look, LOOK_MS);
    let watcher: FSWatcher | undefined;
    try {
      watcher = watch(this.input.directory, { persistent: false }, (_, name) => {
        if (name === null || name === PID_FILE) void look();
      });
      watcher.on("error", () => undefined);
    } catch {
      // no instance of inotify is left: the timer looks
    }
    return {
      done,
      stop: () => {
        clearInterval(timer);
        watcher?.close();
      },
    };
  }
}

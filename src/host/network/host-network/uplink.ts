/**
 * The uplink of one pod with hostNetwork, while the daemon lives: its namespaces, its helper pasta, its place on the disk.
 *
 * A helper that ends is replaced at once; the pod's connections are lost with it. One whose replacement ends soon, too, takes
 * the pod's network with it. What there is of an uplink can be undone by its name alone ({@link removeUplink}).
 */
import { chown, mkdir, readFile, rm } from "node:fs/promises";
import { join } from "node:path";
import { BlazarError, blazarError } from "../../../contracts/errors.ts";
import type { Keeper } from "../../../contracts/keeper.ts";
import type { Logger } from "../../../contracts/logger.ts";
import type { VmNic } from "../../../contracts/vm.ts";
import { pause } from "../../../lib/async.ts";
import { SIGKILL } from "../../../lib/signals.ts";
import type { NetworkTasks } from "../../../workers/network/tasks.ts";
import type { TaskRunner } from "../../storage/worker-pool.ts";
import { LOG_FILE, type PastaInput, PID_FILE, pastaProcess } from "./pasta.ts";

type UplinkKeeper = Pick<
  Keeper,
  "spawn" | "signal" | "exited" | "forget" | "makeUplink" | "dropUplink" | "pid"
>;

/** What uplinks need of the host. */
export interface UplinkPorts {
  readonly keeper: UplinkKeeper;
  readonly workers: TaskRunner<Pick<NetworkTasks, "readHostNetwork" | "joinUplink">>;
  /** Where each uplink has its directory. */
  readonly directory: string;
  /** How long a helper may take until it serves, in milliseconds. */
  readonly startMs: number;
  readonly logger: Logger;
}

/** From one look whether the helper serves to the next. */
const LOOK_MS = 3;
/** A helper that ends so soon after another one is not replaced again. */
const STEADY_MS = 60_000;
const SAID_BYTES = 400;
const STARTED = /Can't run AVX2 build|Started in foreground/;

export class Uplink {
  private closed = false;
  private replacedAt = Number.NEGATIVE_INFINITY;
  private reason: string | undefined;
  private onLost: ((reason: string) => void) | undefined;

  constructor(
    private readonly id: string,
    private readonly input: Omit<PastaInput, "id" | "uplink" | "directory">,
    private readonly ports: UplinkPorts,
  ) {}

  /** Resolves when the VM is joined and the helper serves. Throws HostResource, VmmExited, DeadlineExceeded. */
  async open(nic: VmNic): Promise<void> {
    const { keeper, workers } = this.ports;
    const { user, plan } = this.input;
    await mkdir(this.directory, { recursive: true, mode: 0o711 });
    await chown(this.directory, user.uid, user.gid);
    const path = await keeper.makeUplink({ id: this.id, ...user, tap: plan.link });
    const joint = { link: plan.link, mtu: plan.mtu, nic };
    const steps = [workers.run("joinUplink", { path, mac: plan.mac, joint }), this.serve()];
    const failed = (await Promise.allSettled(steps)).find(({ status }) => status === "rejected");
    if (failed?.status === "rejected") throw failed.reason;
  }

  /** Told once, at once if it has happened; undefined for nobody. */
  watch(onLost: ((reason: string) => void) | undefined): void {
    this.onLost = onLost;
    if (this.reason !== undefined) onLost?.(this.reason);
  }

  /** The end of the helper is no news any more. */
  close(): void {
    this.closed = true;
    this.onLost = undefined;
  }

  private get directory(): string {
    return uplinkDirectory(this.ports, this.id);
  }

  /** Starts a helper and waits until it serves. */
  private async serve(): Promise<void> {
    const { keeper, startMs } = this.ports;
    const id = helperId(this.id);
    await rm(join(this.directory, PID_FILE), { force: true });
    const late = Date.now() + startMs;
    await keeper.spawn(pastaProcess({ ...this.input, id, uplink: this.id, directory: this.directory }));
    let ended = false;
    const exit = keeper.exited(id).then(({ code, signal }) => {
      ended = true;
      return signal === 0 ? `it has ended with status ${code}` : `it was ended by signal ${signal}`;
    });
    exit.catch(() => undefined);
    while (!(await this.serves())) {
      if (ended) throw await this.failure(await exit);
      if (Date.now() > late)
        throw blazarError("DeadlineExceeded", "start pasta", `it does not serve after ${startMs} ms`, {
          subject: this.id,
        });
      await pause(LOOK_MS);
    }
    exit.then(
      (how) => this.onEnd(how),
      () => undefined,
    );
  }

  private async serves(): Promise<boolean> {
    return (await readFile(join(this.directory, PID_FILE), "utf8").catch(() => "")) !== "";
  }

  private onEnd(how: string): void {
    if (this.closed) return;
    this.replace(how).catch((error: unknown) => {
      if (this.closed) return;
      this.reason = `its helper pasta has failed: ${error instanceof BlazarError ? error.details.reason : String(error)}`;
      this.onLost?.(this.reason);
    });
  }

  private async replace(how: string): Promise<void> {
    const error = await this.failure(how);
    const now = Date.now();
    if (now - this.replacedAt < STEADY_MS) throw error;
    this.replacedAt = now;
    const about = { reason: error.details.reason, uplink: this.id };
    this.ports.logger.warn(about, "pasta is replaced: the connections of a pod with hostNetwork are lost");
    await this.ports.keeper.forget(helperId(this.id));
    if (!this.closed) await this.serve();
    if (this.closed) await removeUplink(this.ports, this.id);
  }

  /** With what it has said. */
  private async failure(how: string): Promise<BlazarError> {
    const log = await readFile(join(this.directory, LOG_FILE), "utf8").catch(() => "");
    const said = log.split("\n").filter((line) => line !== "" && !STARTED.test(line));
    const reason = [how, ...said].join("; ").slice(0, SAID_BYTES);
    return blazarError("HostResource", "run pasta", reason, { subject: this.id });
  }
}

/** Ends the helper and takes all of the uplink away, in any state, also of an earlier daemon. */
export async function removeUplink(
  ports: Pick<UplinkPorts, "keeper" | "directory">,
  id: string,
): Promise<void> {
  const { keeper } = ports;
  const helper = helperId(id);
  await unlessGone(() => keeper.signal(helper, SIGKILL));
  await unlessGone(async () => {
    await keeper.exited(helper);
    await keeper.forget(helper);
  });
  await keeper.dropUplink(id);
  await rm(uplinkDirectory(ports, id), { recursive: true, force: true });
}

async function unlessGone(work: () => Promise<unknown>): Promise<void> {
  try {
    await work();
  } catch (error) {
    if (
      error instanceof BlazarError &&
      (error.code === "ProcessNotFound" || error.code === "ProcessNotRunning")
    )
      return;
    throw error;
  }
}

function helperId(id: string): string {
  return `${id}.pasta`;
}

function uplinkDirectory({ directory }: Pick<UplinkPorts, "directory">, id: string): string {
  return join(directory, id);
}

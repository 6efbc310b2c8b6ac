/**
 * The uplink of one VM with the host's network, while the daemon lives: its namespaces, its helper pasta, its place on the disk.
 *
 * It may be there before its pod is known. A helper that ends is replaced at once; the pod's connections are lost with it. One
 * whose replacement ends soon, too, takes the network with it. What there is of an uplink can be undone by its name alone
 * ({@link removeUplink}).
 */
import { chown, mkdir } from "node:fs/promises";
import { BlazarError } from "../../../contracts/errors.ts";
import type { Logger } from "../../../contracts/logger.ts";
import type { VmNic } from "../../../contracts/vm.ts";
import type { NetworkTasks } from "../../../workers/network/tasks.ts";
import type { TaskRunner } from "../../storage/worker-pool.ts";
import { Helper, type HelperPorts } from "./helper.ts";
import type { PastaInput } from "./pasta.ts";
import { helperId, removeUplink, type UplinkKeeper, uplinkDirectory } from "./remove-uplink.ts";

/** What uplinks need of the host. */
export interface UplinkPorts extends HelperPorts {
  readonly keeper: HelperPorts["keeper"] & UplinkKeeper;
  readonly workers: TaskRunner<Pick<NetworkTasks, "readHostNetwork" | "joinUplink">>;
  /** Where each uplink has its directory. */
  readonly directory: string;
  readonly logger: Logger;
  /** As {@link Cgroups.enter}. */
  readonly enterGroups: (procs: readonly string[], pid: number) => Promise<void>;
}

/** What a pod wants of its helper. */
export type Service = Pick<PastaInput, "cgroups" | "ports" | "resolver">;

/** A helper that ends so soon after another one is not replaced again. */
const STEADY_MS = 60_000;

export class Uplink {
  private closed = false;
  private replacedAt = Number.NEGATIVE_INFINITY;
  private reason: string | undefined;
  private onLost: ((reason: string) => void) | undefined;
  /** The one that serves. */
  private helper: Helper | undefined;
  /** Helpers come and go one after the other. Never rejects. */
  private last: Promise<unknown> = Promise.resolve();

  constructor(
    private readonly id: string,
    private input: Omit<PastaInput, "id" | "uplink" | "directory">,
    private readonly ports: UplinkPorts,
  ) {}

  /**
   * Resolves when the VM is joined and the helper serves, with where the VM's tap is now.
   * @throws BlazarError HostResource, VmmExited, DeadlineExceeded
   */
  async open(nic: VmNic): Promise<VmNic> {
    const { keeper, workers } = this.ports;
    const { user, plan } = this.input;
    await mkdir(this.directory, { recursive: true, mode: 0o711 });
    await chown(this.directory, user.uid, user.gid);
    const path = await keeper.makeUplink({ id: this.id, ...user, tap: plan.link });
    const joint = { link: plan.link, mtu: plan.mtu, nic };
    const joined = workers.run("joinUplink", { path, mac: plan.mac, joint });
    const serving = this.inTurn(() => this.serve());
    // whatever fails, both have come to their end
    await Promise.allSettled([joined, serving]);
    await serving;
    return await joined;
  }

  /** An earlier daemon has opened it. A helper that has ended meanwhile is replaced. */
  adopt(): void {
    const { keeper } = this.ports;
    const found = keeper.inventory().processes.find(({ id }) => id === helperId(this.id));
    const helper = this.newHelper();
    helper.adopt(found?.identity.pid ?? 0);
    this.serves(helper);
  }

  /**
   * Serves a pod from now on. Another helper takes over if the pod wants what this one cannot have any more.
   * @returns false if it has failed for good
   * @throws BlazarError HostResource, DeadlineExceeded
   */
  give(wanted: Service): Promise<boolean> {
    return this.inTurn(async () => {
      if (this.closed || this.reason !== undefined) return false;
      const { helper, input } = this;
      this.input = { ...input, ...wanted };
      const isOther = wanted.ports.length > 0 || wanted.resolver !== input.resolver;
      if (helper === undefined || isOther) {
        this.helper = undefined;
        await helper?.end();
        await this.serve();
      } else if (wanted.cgroups.length > 0) {
        await helper.enter((pid) => this.ports.enterGroups(wanted.cgroups, pid));
      }
      return true;
    });
  }

  /** Told once, at once if it has happened; undefined for nobody. */
  watch(onLost: ((reason: string) => void) | undefined): void {
    this.onLost = onLost;
    if (this.reason !== undefined) onLost?.(this.reason);
  }

  /** Takes all of it away, when what is being made is made. May be called again. */
  async remove(): Promise<void> {
    this.closed = true;
    this.onLost = undefined;
    // one that starts gives up then
    this.helper?.giveUp();
    await this.last;
    await removeUplink(this.ports, this.id);
  }

  private get directory(): string {
    return uplinkDirectory(this.ports, this.id);
  }

  /** Starts a helper and waits until it serves. */
  private async serve(): Promise<void> {
    if (this.closed) return;
    const helper = this.newHelper();
    this.helper = helper;
    await helper.start();
    this.serves(helper);
  }

  private newHelper(): Helper {
    return new Helper({ ...this.input, uplink: this.id, directory: this.directory }, this.ports);
  }

  private serves(helper: Helper): void {
    this.helper = helper;
    helper.exited.then(
      (how) => this.onEnd(helper, how),
      (error: unknown) => {
        // one that the keeper does not know has ended with an earlier keeper; a keeper that is lost is told of elsewhere
        if (error instanceof BlazarError && error.code === "ProcessNotFound")
          this.onEnd(helper, "it has ended");
      },
    );
  }

  private onEnd(helper: Helper, how: string): void {
    if (this.closed || this.helper !== helper) return;
    this.inTurn(async () => {
      if (this.helper === helper) await this.replace(helper, how);
    }).catch((error: unknown) => {
      if (this.closed) return;
      this.reason = `its helper pasta has failed: ${error instanceof BlazarError ? error.details.reason : String(error)}`;
      this.onLost?.(this.reason);
    });
  }

  private async replace(helper: Helper, how: string): Promise<void> {
    const error = await helper.failure(how);
    const now = Date.now();
    if (now - this.replacedAt < STEADY_MS) throw error;
    this.replacedAt = now;
    const about = { reason: error.details.reason, uplink: this.id };
    this.ports.logger.warn(about, "pasta is replaced: the connections of a pod with hostNetwork are lost");
    await helper.end();
    await this.serve();
  }

  private inTurn<T>(work: () => Promise<T>): Promise<T> {
    const done = this.last.then(work);
    this.last = done.catch(() => undefined);
    return done;
  }
}

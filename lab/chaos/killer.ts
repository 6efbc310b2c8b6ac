/**
 * Kills processes of a node, one after the other, and brings them back as a supervisor would.
 *
 * After each kill the node is held to the expected outcome: the death of the daemon, of containerd or of a VM that is no pod's
 * loses nothing. VMs are found by what the daemon tells of its sandboxes, so the daemon is up when a kill begins.
 */
import { join } from "node:path";
import { reasonOf } from "../../src/contracts/errors.ts";
import { keeperAnswers } from "../../src/host/keeper/process.ts";
import { pause } from "../../src/lib/async.ts";
import { UnderWay } from "../../src/lib/under-way.ts";
import { InspectionClient } from "../../src/rpc/inspection/client.ts";
import { processesOf, programOf } from "../host/processes.ts";
import { until } from "../host/until.ts";
import type { PrivateNode } from "../node/private-node.ts";
import type { Outages } from "./outages.ts";
import type { ChaosRecord, Kill } from "./record.ts";

/** A pod as far as killing goes. */
export interface Victim {
  readonly name: string;
  readonly id: string;
  /** Called right before its VM is killed or halted. */
  readonly onKill: (kill: Kill) => void;
}

export interface KillerOptions {
  readonly node: PrivateNode;
  readonly record: ChaosRecord;
  readonly outages: Outages;
  /** Numbers in [0, 1). */
  readonly random: () => number;
  readonly enabled: ReadonlySet<Kill>;
  /** Called right before the keeper or containerd is killed: it concerns all containers. */
  readonly onShared: (kill: Kill) => void;
  /** A process has not come back: nothing makes sense any more. */
  readonly onBroken: () => void;
  /** Looks whether everything is as it should be. */
  readonly audit: (after: Kill) => Promise<void>;
}

/** How long a process stays away at most. */
const MOST_AWAY_MS = 1_500;
/** Containers' output that is on its way through containerd would be lost with it, so their VMs rest before. */
const REST_MS = 150;
const PATIENCE = { timeoutMs: 60_000, pollMs: 20 };

export class Killer {
  private readonly work = new UnderWay();
  private busy = false;
  /** VMs that hang. */
  private readonly halted = new Set<number>();

  constructor(private readonly options: KillerOptions) {}

  /** Kills in the background; does nothing while another kill is under way. */
  request(kill: Kill, victim?: Victim): void {
    if (this.busy || !this.options.enabled.has(kill)) return;
    this.busy = true;
    void this.work.track(async () => {
      try {
        await this.kill(kill, victim);
      } catch (error) {
        this.options.record.found("wrong", `after the kill of ${kill}: ${reasonOf(error)}`);
        this.options.onBroken();
      } finally {
        this.busy = false;
      }
    });
  }

  /** Resolves when no kill is under way. */
  settled(): Promise<void> {
    return this.work.settled();
  }

  private async kill(kill: Kill, victim: Victim | undefined): Promise<void> {
    const { record, audit } = this.options;
    record.event(`-- kill ${kill} ${victim?.name ?? ""}`);
    const killed = await this.perform(kill, victim);
    if (!killed) return;
    record.kills[kill]++;
    record.event(`-- ${kill} is back`);
    await audit(kill);
  }

  private async perform(kill: Kill, victim: Victim | undefined): Promise<boolean> {
    switch (kill) {
      case "daemon":
      case "term":
        return this.killDaemon(kill);
      case "containerd":
        return this.killContainerd();
      case "keeper":
        return this.killKeeper();
      case "spare":
        return this.killSpare();
      case "vmm":
      case "hang":
        return victim !== undefined && this.killVmm(kill, victim);
    }
  }

  private async killDaemon(kill: "daemon" | "term"): Promise<boolean> {
    const { node, outages, random } = this.options;
    const back = outages.begin(kill);
    await node.stopBlazard({ kill: kill === "daemon" });
    await pause(random() * MOST_AWAY_MS);
    await node.restartBlazard();
    await this.untilAdopted();
    back();
    return true;
  }

  private async killContainerd(): Promise<boolean> {
    const { node, outages, random, onShared } = this.options;
    const all = await this.ask(async (daemon) => (await daemon.list()).map(({ pid }) => pid));
    const pids = all.filter((pid) => pid > 0 && !this.halted.has(pid));
    for (const pid of pids) signal(pid, "SIGSTOP");
    await pause(REST_MS);
    const back = outages.begin("containerd");
    onShared("containerd");
    const goOn = pause(random() * REST_MS).then(() => {
      for (const pid of pids) signal(pid, "SIGCONT");
    });
    await node.containerd.restart({ kill: true });
    await goOn;
    back();
    return true;
  }

  private async killKeeper(): Promise<boolean> {
    const { node, outages, onShared } = this.options;
    const pid = await keeperPid(node.stateDirectory);
    if (pid === undefined) return false;
    onShared("keeper");
    const back = outages.begin("keeper");
    signal(pid, "SIGKILL");
    const control = join(node.stateDirectory, "keeper.sock");
    const another = async () => {
      const now = await keeperPid(node.stateDirectory);
      return now !== undefined && now !== pid && (await keeperAnswers(control)) ? true : undefined;
    };
    await until("another keeper", another, PATIENCE);
    await this.untilAdopted();
    back();
    return true;
  }

  private async killVmm(kill: "vmm" | "hang", victim: Victim): Promise<boolean> {
    const { outages, random } = this.options;
    const { id, name } = victim;
    const found = await this.ask(async (daemon) => (await daemon.get(id)).summary);
    if (found.pid === 0 || found.phase !== "ready") return false;
    victim.onKill(kill);
    const back = outages.begin(kill, name);
    signal(found.pid, kill === "vmm" ? "SIGKILL" : "SIGSTOP");
    this.halted.add(found.pid);
    // a VM that hangs goes on later, or never; a pod's name never comes again, so that outage need not end
    if (kill === "hang" && random() < HANGS_FOR_A_WHILE) {
      await pause(HANG_MS);
      this.halted.delete(found.pid);
      signal(found.pid, "SIGCONT");
      back();
    }
    return true;
  }

  /** A VM of the pool, or the original. */
  private async killSpare(): Promise<boolean> {
    const { node } = this.options;
    const pods = await this.ask(async (daemon) => new Set((await daemon.list()).map(({ pid }) => pid)));
    const vmms = (await processesOf([node.directory])).filter(({ command }) =>
      command.includes("qemu-system"),
    );
    const spare = vmms.find(({ pid, command }) => /(pool|original)-/.test(command) && !pods.has(pid));
    if (spare === undefined) return false;
    signal(spare.pid, "SIGKILL");
    return true;
  }

  /** Until the daemon answers, and takes nothing over any more. */
  private async untilAdopted(): Promise<void> {
    const adopted = async () =>
      this.ask(async (daemon) =>
        (await daemon.list()).every(({ state }) => state !== "adopting") ? true : undefined,
      ).catch(() => undefined);
    await until("blazard to take over its pods", adopted, PATIENCE);
  }

  private async ask<Result>(question: (daemon: InspectionClient) => Promise<Result>): Promise<Result> {
    const client = new InspectionClient(this.options.node.inspectionSocket);
    try {
      return await question(client);
    } finally {
      client.close();
    }
  }
}

/** Shorter than what makes the daemon give a guest up. */
const HANG_MS = 800;
const HANGS_FOR_A_WHILE = 0.6;

function signal(pid: number, name: NodeJS.Signals): void {
  try {
    process.kill(pid, name);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "ESRCH") throw error;
  }
}

/** The keeper of a state directory; undefined if there is none. */
export async function keeperPid(stateDirectory: string): Promise<number | undefined> {
  for (const { pid } of await processesOf([join(stateDirectory, "keeper.sock")]))
    if ((await programOf(pid)).endsWith("/keeper")) return pid;
  return undefined;
}

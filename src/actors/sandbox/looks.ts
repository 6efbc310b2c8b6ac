/**
 * What operators ask of sandboxes that run, beside their history: what they use, their logs, and a process in the guest itself.
 *
 * A guest is asked with a short deadline: one that hangs must not keep an operator from what the host knows.
 */
import { blazarError } from "../../contracts/errors.ts";
import type { EventSource } from "../../contracts/event-source.ts";
import type { GuestShell, GuestShells, ShellListener, ShellRequest } from "../../contracts/guest-shell.ts";
import type { Inspection, LogName, SandboxUsage } from "../../contracts/inspection.ts";
import type { CgroupStats } from "../../contracts/stats.ts";
import { within } from "../../lib/async.ts";
import { processStat } from "../../lib/processes/processes.ts";
import type { SandboxRegistry } from "./registry.ts";

/** How long a guest may take to say what its containers use. */
const GUEST_MS = 1_000;
/** How often a log that is followed is looked at. */
const FOLLOW_MS = 500;

export interface LooksPorts {
  readonly now: () => number;
  /** Why a process does nothing, if it is halted: `"is stopped by a signal (state T)"`. */
  readonly processTrouble: (pid: number) => Promise<string | undefined>;
}

export class SandboxLooks implements Pick<Inspection, "usage" | "logs">, GuestShells {
  constructor(
    private readonly sandboxes: Pick<SandboxRegistry, "entry" | "stats" | "status" | "ids">,
    private readonly ports: LooksPorts,
  ) {}

  /** Of those that run; none named = all. Throws SandboxNotFound. */
  async usage(ids: readonly string[]): Promise<SandboxUsage[]> {
    const { sandboxes } = this;
    for (const id of ids) sandboxes.entry(id);
    const usages: SandboxUsage[] = [];
    const asked = new Set(ids);
    // each once, however often it is named, and none that there is not
    const wanted = sandboxes.ids().filter((id) => asked.size === 0 || asked.has(id));
    for (const id of wanted) {
      // one that has ended meanwhile uses nothing
      if (sandboxes.ids().includes(id)) usages.push(await this.usageOf(id));
    }
    return usages;
  }

  /** Ends at once if the log is not followed, else with the sandbox. Throws SandboxNotFound. */
  logs(
    id: string,
    log: LogName,
    { tailBytes, follow }: { readonly tailBytes: number; readonly follow: boolean },
  ): EventSource<Uint8Array> {
    const { backend } = this.sandboxes.entry(id).sandbox;
    const isThere = () => this.sandboxes.ids().includes(id);
    return {
      subscribe: (observer) => {
        let left = false;
        let timer: NodeJS.Timeout | undefined;
        let seen = 0;
        let most = tailBytes;
        const look = async () => {
          const last = !follow || !isThere();
          const { bytes, written } = await backend.readLog(log);
          if (left) return;
          const fresh = Math.min(bytes.length, most, Math.max(0, written - seen));
          if (fresh > 0) observer.next(bytes.subarray(bytes.length - fresh));
          seen = written;
          most = Number.POSITIVE_INFINITY;
          if (last) return observer.complete();
          timer = setTimeout(() => void next(), FOLLOW_MS);
        };
        const next = () => look().catch((error: unknown) => !left && observer.error(error));
        void next();
        return {
          unsubscribe: () => {
            left = true;
            clearTimeout(timer);
          },
        };
      },
    };
  }

  async openShell(id: string, request: ShellRequest, listener: ShellListener): Promise<GuestShell> {
    const { backend } = this.sandboxes.entry(id).sandbox;
    await this.refuseHalted(id);
    return await backend.openShell(request, listener);
  }

  /** A guest whose VMM is halted would be waited for until the deadline of a process's start. */
  private async refuseHalted(id: string): Promise<void> {
    const { pid } = this.sandboxes.status(id);
    const trouble = pid === 0 ? undefined : await this.ports.processTrouble(pid);
    if (trouble === undefined) return;
    throw blazarError(
      "SandboxNotReady",
      "run a process in the guest itself",
      `its VMM (pid ${pid}) ${trouble}`,
      {
        subject: `sandbox ${id}`,
        remedy: `"blazar why ${id}" and "blazar logs --console ${id}" need no guest`,
      },
    );
  }

  private async usageOf(id: string): Promise<SandboxUsage> {
    const { pid } = this.sandboxes.status(id);
    const [containers, vmm] = await Promise.all([
      within(this.sandboxes.stats(id), GUEST_MS).catch(() => undefined),
      pid === 0 ? undefined : processStat(pid),
    ]);
    return {
      sandboxId: id,
      at: this.ports.now(),
      ...(containers === undefined ? {} : { containers: containersUsage(containers) }),
      ...(vmm === undefined ? {} : { vmm: { cpuMs: vmm.cpuMs, memoryBytes: vmm.residentBytes } }),
    };
  }
}

function containersUsage({ cpu, memoryUsage, pids }: CgroupStats): NonNullable<SandboxUsage["containers"]> {
  return {
    cpuMs: Number(cpu.get("usage_usec") ?? 0n) / 1000,
    memoryBytes: Number(memoryUsage.current),
    pids: Number(pids.current),
  };
}

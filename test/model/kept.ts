/**
 * What must be as it was when a daemon has died and the next one has taken over: processes, their records, their exit codes.
 */
import { readKnownSandbox } from "../../src/actors/resources/known-sandbox.ts";
import type { Actors } from "../../src/daemon/actors.ts";
import type { FakeProcess } from "../support/fake-guest/process.ts";
import type { FakeVm } from "../support/fake-vmm/vm.ts";
import type { MemoryHost } from "../support/memory-host/host.ts";

interface KeptProcess {
  readonly container: string;
  readonly execId: string;
  readonly pid: number;
  readonly state: FakeProcess["state"];
  readonly status: number | undefined;
  readonly process: FakeProcess;
  /** What the dead daemon has written down. */
  readonly exit: { readonly status: number; readonly at: number } | undefined;
}

interface KeptSandbox {
  readonly id: string;
  readonly vm: FakeVm;
  readonly processes: readonly KeptProcess[];
}

/** Sandboxes that run well when their daemon is dead, and that nothing ends. */
export class Kept {
  private readonly sandboxes: readonly KeptSandbox[];

  /** @param isTouched whether a call that comes again may change a container */
  constructor(host: MemoryHost, isWell: (vm: FakeVm) => boolean, isTouched: (container: string) => boolean) {
    this.sandboxes = [...host.journals].flatMap(([id, journal]) => {
      const known = readKnownSandbox(new Map(Object.entries(plain(journal.facts))));
      const vmId = (journal.facts.get("vm") as { readonly id?: string } | undefined)?.id ?? "";
      const vm = host.driver.vms.get(vmId);
      if (known?.phase.phase !== "ready" || vm === undefined || vm.exit !== undefined || !isWell(vm))
        return [];
      const containers = known.containers.filter((each) => !isTouched(each.id) && vm.guest.has(each.id));
      const processes = containers.flatMap((container) =>
        container.processes.flatMap(({ execId, pid, exit }): KeptProcess[] => {
          const process = vm.guest.find(container.id, execId);
          if (process === undefined) return [];
          const { state, status } = process;
          return [{ container: container.id, execId, pid, state, status, process, exit }];
        }),
      );
      return [{ id, vm, processes }];
    });
  }

  /** Whether the next daemon has still to reach some of them. */
  isUnderWay({ sandboxes }: Actors): boolean {
    return this.sandboxes.some(
      ({ id }) => sandboxes.ids().includes(id) && sandboxes.status(id).info["state"] === "adopting",
    );
  }

  /** Sentences about what is lost. */
  problems(actors: Actors): string[] {
    return this.sandboxes.flatMap((sandbox) => [
      ...sandboxProblems(sandbox, actors),
      ...sandbox.processes.flatMap((each) => processProblems(each, actors)),
    ]);
  }
}

function sandboxProblems({ id, vm }: KeptSandbox, { sandboxes }: Actors): string[] {
  if (!sandboxes.ids().includes(id)) return [`sandbox ${id} is not known any more`];
  const { phase, pid, info } = sandboxes.status(id);
  const problems = vm.exit === undefined ? [] : [`the VM of ${id} was ended`];
  if (phase !== "ready") problems.push(`sandbox ${id} is ${phase} (${info["state"]}): ${info["failure"]}`);
  else if (pid !== vm.identity.pid) problems.push(`sandbox ${id} has pid ${pid}, not ${vm.identity.pid}`);
  return problems;
}

function processProblems(kept: KeptProcess, { tasks }: Actors): string[] {
  const { container, execId, pid, state, status, process, exit } = kept;
  const name = `${container}/${execId}`;
  if (tasks.sandboxOf(container) === undefined) return [`container ${container} is not known any more`];
  const problems: string[] = [];
  if (process.state !== state) problems.push(`${name} was ${state} and is ${process.state}`);
  const now = tasks.state(container, execId);
  if (now.pid !== pid) problems.push(`${name} had pid ${pid} and has ${now.pid}`);
  if (exit !== undefined) {
    if (now.exitStatus !== exit.status || now.exitedAt?.getTime() !== exit.at)
      problems.push(`${name} had ended with ${exit.status}, and now has ${now.exitStatus}`);
  } else if (state === "exited") {
    if (now.status !== "stopped" || now.exitStatus !== status)
      problems.push(`${name} ended with ${status}, and is ${now.status} with ${now.exitStatus}`);
  } else if (state === "running" && now.status !== "running" && now.status !== "paused") {
    problems.push(`${name} runs, and is said to be ${now.status}`);
  }
  return problems;
}

/** As it would be read from a file. */
function plain(facts: ReadonlyMap<string, unknown>): Record<string, unknown> {
  return JSON.parse(JSON.stringify(Object.fromEntries(facts)));
}

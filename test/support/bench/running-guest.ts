/** A guest whose containers can be started, waited for and removed: the agent's end of a VM, for integration tests. */
import type { Vm } from "../../../src/contracts/vm.ts";
import type { ContainerCreate, GuestProcess, ProcessExited } from "../../../src/protocol/guest/messages.ts";
import { type Greeted, greet } from "../conformance/vmm-bench.ts";
import { containerCreate } from "../guest-requests.ts";

export class RunningGuest {
  private readonly exits = new Map<string, (status: number) => void>();

  private constructor(private readonly peer: Greeted["peer"]) {}

  static async of(vm: Vm): Promise<RunningGuest> {
    const waiting: { guest?: RunningGuest } = {};
    const { peer } = await greet(vm, (event, params) => {
      if (event !== "process.exited") return;
      const { id, status } = params as ProcessExited;
      waiting.guest?.exits.get(id)?.(status);
    });
    waiting.guest = new RunningGuest(peer);
    return waiting.guest;
  }

  ask(op: string, params: object): Promise<unknown> {
    return this.peer.request(op, params).result;
  }

  /** Makes a container and lets it go. */
  async start(
    id: string,
    args: readonly string[],
    more: Partial<ContainerCreate> = {},
    process: Partial<GuestProcess> = {},
  ): Promise<void> {
    const create = containerCreate(id, args, more);
    await this.ask("container.create", { ...create, process: { ...create.process, ...process } });
    await this.ask("process.start", { id, execId: "" });
  }

  async remove(id: string): Promise<void> {
    await this.ask("container.delete", { id });
  }

  /** Runs a container to its end and deletes it. */
  async run(...start: Parameters<RunningGuest["start"]>): Promise<number> {
    const [id] = start;
    const exited = new Promise<number>((resolve) => this.exits.set(id, resolve));
    await this.start(...start);
    const status = await exited;
    await this.remove(id);
    return status;
  }
}

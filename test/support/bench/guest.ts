/** A guest behind the VMM port, without a daemon: what its agent is asked, and what its processes say and end with. */
import type { Vm } from "../../../src/contracts/vm.ts";
import type { GuestStdio, ProcessExited } from "../../../src/protocol/guest/messages.ts";
import { type Output, openOutput } from "../bare-guest.ts";
import { type Greeted, greet } from "../conformance/vmm-bench.ts";
import { containerCreate, guestProcess } from "../guest-requests.ts";

export interface Run {
  readonly status: number;
  /** Standard output. */
  readonly text: string;
}

export class DriverGuest {
  private readonly exits = new Map<string, (status: number) => void>();
  private nextStream = 1;

  private constructor(private readonly peer: Greeted["peer"]) {}

  static async of(vm: Vm): Promise<DriverGuest> {
    const waiting: { guest?: DriverGuest } = {};
    const { peer } = await greet(vm, (event, params) => {
      if (event !== "process.exited") return;
      const { id, execId, status } = params as ProcessExited;
      waiting.guest?.exits.get(`${id}/${execId}`)?.(status);
    });
    waiting.guest = new DriverGuest(peer);
    return waiting.guest;
  }

  ask(op: string, params: object): Promise<unknown> {
    return this.peer.request(op, params).result;
  }

  /** Starts a container. */
  async start(...create: Parameters<typeof containerCreate>): Promise<{ ended: Promise<Run> }> {
    const [id, args, more] = create;
    const { stdio, output } = this.output();
    const exited = this.exit(id, "");
    await this.ask("container.create", containerCreate(id, args, { ...more, stdio }));
    await this.ask("process.start", { id, execId: "" });
    return { ended: ended(exited, output) };
  }

  /** Runs a further process in a container to its end. */
  async exec(id: string, args: readonly string[]): Promise<Run> {
    const execId = `exec-${this.nextStream}`;
    const { stdio, output } = this.output();
    const exited = this.exit(id, execId);
    await this.ask("process.exec", { id, execId, process: guestProcess(args), stdio });
    const result = await ended(exited, output);
    await this.ask("process.delete", { id, execId });
    return result;
  }

  /** Runs a container to its end and deletes it. */
  async run(...create: Parameters<typeof containerCreate>): Promise<Run> {
    const result = await (await this.start(...create)).ended;
    await this.ask("container.delete", { id: create[0] });
    return result;
  }

  private exit(id: string, execId: string): Promise<number> {
    return new Promise((resolve) => this.exits.set(`${id}/${execId}`, resolve));
  }

  private output(): { stdio: GuestStdio; output: Output } {
    const stream = this.nextStream++;
    return { stdio: { stdin: 0, stdout: stream, stderr: 0 }, output: openOutput(this.peer, stream) };
  }
}

async function ended(exited: Promise<number>, output: Output): Promise<Run> {
  const status = await exited;
  await output.ended;
  return { status, text: output.text() };
}

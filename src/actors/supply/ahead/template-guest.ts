/**
 * Brings a guest into the state in which a template is taken of it: agent up, answering, and nobody connected.
 *
 * It greets the agent under a session of its own: an agent remembers the answers it gave in a session, and would take a
 * clone's first requests for repeated ones if the daemon that talks to the clone had built the template, too.
 */
import type { Deadlines } from "../../../contracts/deadlines.ts";
import { blazarError } from "../../../contracts/errors.ts";
import type { Logger } from "../../../contracts/logger.ts";
import type { Vm } from "../../../contracts/vm.ts";
import { onAbort } from "../../../lib/async.ts";
import type { GuestHello, SandboxSetup } from "../../../protocol/guest/messages.ts";
import type { TextCodec } from "../../../protocol/wire/json.ts";
import { GuestLink } from "../../guest/link.ts";
import { prepareChild, prepareDisk } from "../../guest/preparation.ts";
import { Examiner } from "../../vm/boot/examiner.ts";
import { rehearseInTemplate } from "./rehearsal.ts";
import { rehearseNetwork } from "./rehearsal-network.ts";

/** What it needs of the daemon. */
export interface TemplateGuestHost {
  /** Identifies this life of the daemon. */
  readonly session: string;
  readonly text: TextCodec;
  readonly logger: Logger;
  readonly deadlines: Pick<Deadlines, "firstSign" | "agentHello" | "guestRequest">;
}

/**
 * Waits for the agent's hello, has it prepare what clones need and lets go of it.
 * @param disk the VM's disk, which becomes the writable layer of each clone's first container
 * @returns what the agent has said of itself
 * @throws BlazarError GuestNotReady, GuestLost, Cancelled
 */
export async function prepareTemplateGuest(
  host: TemplateGuestHost,
  vm: Vm,
  disk: string | undefined,
  signal: AbortSignal,
): Promise<GuestHello> {
  const { firstSign, agentHello, guestRequest } = host.deadlines;
  const guest = new GuestLink(await vm.connectAgent(signal), {
    sandboxId: vm.id,
    session: `${host.session}-template-${vm.id}`,
    text: host.text,
    logger: host.logger.child({ template: vm.id }),
  });
  const giveUp = (code: "GuestNotReady" | "Cancelled", reason: string) => () =>
    guest.close(blazarError(code, "wait for the guest's agent", reason, { subject: vm.id }));
  const timer = setTimeout(giveUp("GuestNotReady", `no hello within ${agentHello} ms`), agentHello);
  const examiner = new Examiner();
  const looks = setInterval(async () => {
    const dead = await examiner.examine(vm, "boot", firstSign);
    if (dead !== undefined) giveUp("GuestNotReady", dead.reason)();
  }, firstSign);
  const forget = onAbort(signal, giveUp("Cancelled", "it was called off"));
  try {
    const hello = await guest.hello;
    clearTimeout(timer);
    clearInterval(looks);
    // what every sandbox needs is there before the first clone: it only has to change names
    await guest.request(
      "sandbox.setup",
      { ...TEMPLATE_SETUP, now: Date.now() },
      { deadlineMs: guestRequest, signal },
    );
    if (vm.nics.length > 0) await rehearseNetwork(guest, host, signal);
    await rehearseInTemplate(guest, host, signal);
    if (disk !== undefined) await prepareDisk(guest, disk, host, signal);
    await prepareChild(guest, host, signal);
    await guest.request("ping", {}, { deadlineMs: guestRequest, signal });
    return hello;
  } finally {
    clearTimeout(timer);
    clearInterval(looks);
    forget();
    guest.close();
  }
}

/** Mounts and namespaces that serve every sandbox. */
const TEMPLATE_SETUP: Omit<SandboxSetup, "now"> = {
  sandboxId: "template",
  hostname: "",
  hosts: "",
  resolvConf: "",
  entropy: "",
  sharedPidNamespace: true,
  // resized by each sandbox
  shmBytes: 64 * 2 ** 20,
  userNamespace: undefined,
  network: undefined,
  sysctls: {},
  limits: undefined,
};

/** What a driver brings to the suite of VMM drivers, and how tests listen and speak to a VM. */
import type { ErrorCode } from "../../../src/contracts/errors.ts";
import type { ByteLink, Vm, VmmEvent, VmSpec } from "../../../src/contracts/vm.ts";
import type { VmmDriver } from "../../../src/contracts/vmm.ts";
import { nodeText } from "../../../src/lib/text.ts";
import { guestHello } from "../../../src/protocol/guest/messages.ts";
import { GUEST_MAX_FRAME_BYTES } from "../../../src/protocol/wire/frame.ts";
import { Peer } from "../../../src/protocol/wire/peer.ts";
import type { NicBench } from "./nic-bench.ts";

/** A driver and what the suite needs around it. */
export interface VmmBench {
  readonly driver: VmmDriver;
  /** Its VMM ends as soon as it is started. */
  readonly failing: VmmDriver;
  /** Its VMM starts and never answers. The launch deadline is over within the test's. */
  readonly hanging: VmmDriver;
  /** Of {@link hanging}: what a launch ends with by itself; undefined = only the caller's signal ends it. */
  readonly hangEndsWith: ErrorCode | undefined;
  /** True where VMs are clones of one: their agents, woken in the same moment, have one session. */
  readonly clones?: boolean;
  /** A VM that may be launched, with a directory of its own. */
  spec(id: string): Promise<VmSpec>;
  /** An image for {@link VmDisk}. */
  diskImage(): Promise<string>;
  /** An image for {@link Vm.attachImage} that fits a slot. */
  layerImage(): Promise<string>;
  /**
   * Attaches a disk `full` whose image is on a file system without space, and has the guest write to it. Undefined where
   * that takes privileges that the test has not.
   */
  readonly fillDisk?: ((vm: Vm) => Promise<void>) | undefined;
  /** Undefined where VMs can have no network interfaces. */
  readonly nics: NicBench | undefined;
  /**
   * The daemon that has launched VMs is killed, in the middle of a command to each: nobody holds them any more. The driver may be
   * used on, as the next daemon's.
   */
  daemonDies(): Promise<void>;
  /** Ends the VMM as the kernel's out-of-memory killer does. */
  killFromOutside(vm: Vm): Promise<void>;
  /** What is there of VMs: living processes, and files in the directories of {@link spec}. */
  leftovers(): Promise<readonly string[]>;
  dispose(): Promise<void>;
}

/** Everything a VM tells from now on. */
export function record(vm: Vm): { all: VmmEvent[]; types(): string[]; readonly ended: Promise<void> } {
  const all: VmmEvent[] = [];
  const ended = new Promise<void>((resolve, reject) => {
    vm.events.subscribe({ next: (event) => all.push(event), error: reject, complete: resolve });
  });
  return { all, types: () => all.map(({ type }) => type), ended };
}

/** The host's end of a link whose agent has said hello. */
export interface Greeted {
  readonly link: ByteLink;
  readonly peer: Peer;
  /** Identifies the agent's life. */
  readonly session: string;
  readonly closed: Promise<void>;
  /** How often the close was told. */
  closes(): number;
}

/** Connects to a VM's agent and waits for its hello, which is checked. */
export async function greet(
  vm: Vm,
  onEvent: (event: string, params: unknown) => void = () => undefined,
): Promise<Greeted> {
  const link = await vm.connectAgent();
  return new Promise((resolve, reject) => {
    let closes = 0;
    let onClosed: () => void = () => undefined;
    const closed = new Promise<void>((done) => {
      onClosed = done;
    });
    const peer: Peer = new Peer({
      session: "conformance",
      text: nodeText,
      maxFrameBytes: GUEST_MAX_FRAME_BYTES,
      ownsStreams: true,
      helloBody: () => ({ role: "host" }),
      onHello: ({ session, body }) => {
        guestHello(body, "hello");
        resolve({ link, peer, session, closed, closes: () => closes });
      },
      onRequest: () => Promise.reject(new Error("a guest asks for nothing")),
      onEvent,
      onViolation: reject,
    });
    link.open({
      onData: (bytes) => peer.receive(bytes),
      onClose: () => {
        closes++;
        onClosed();
        reject(new Error("the link was closed before the agent's hello"));
      },
    });
    peer.attach((frame) => link.write(frame));
  });
}

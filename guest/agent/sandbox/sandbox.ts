/**
 * What the containers of a pod share: host name, clock, entropy, loopback, /dev/shm, files under /etc, and
 * one PID namespace if the host asks for it.
 *
 * A machine holds one sandbox, so the guest's own UTS, IPC and network namespaces are the sandbox's. Nothing has to hold
 * them open, and no container has to join them. The setup may be repeated while there is no container: a guest that was
 * set up in a template or in the pool becomes the sandbox of a pod this way.
 */
import * as sys from "sys";
import { check } from "../../../native/runtime/check.ts";
import { makeDirectories, readText, writeText } from "../../../native/runtime/files.ts";
import { blazarError } from "../../../src/contracts/errors.ts";
import { sameMaps } from "../../../src/contracts/id-maps.ts";
import type { PodNetwork } from "../../../src/contracts/pod-network.ts";
import type { SandboxSetup, UserNamespaceMaps } from "../../../src/protocol/guest/messages.ts";
import type { MarkStep } from "../../../src/protocol/wire/request-steps.ts";
import { limitEmptyPod } from "../container/cgroup.ts";
import type { AgentContext } from "../context.ts";
import { SANDBOX, SHARED_MEMORY } from "../guest-paths.ts";
import { bringUpLoopback, GuestNetwork } from "../network/pod-network.ts";
import { UndoList } from "../undo-list.ts";
import { addEntropy, setClock } from "./clock-and-entropy.ts";
import { PidNamespaceHolder } from "./pid-namespace-holder.ts";
import { writeSysctls, writeSysctlsIn } from "./pod-sysctls.ts";
import { outsideId, UserNamespace } from "./user-namespace.ts";

/** What a container gets from its sandbox. */
export interface SandboxEnvironment {
  /** Destination in the container → the agent's path. */
  readonly files: Readonly<Record<string, string>>;
  /** The shared tmpfs, or "". */
  readonly sharedMemory: string;
  /** Undefined: the containers have the guest's own. */
  readonly userNamespace: UserNamespace | undefined;
}

/** The machine's boot id (random(4)); each container sees a file of the sandbox in its place. */
const BOOT_ID = "/proc/sys/kernel/random/boot_id";

export class Sandbox {
  private readonly context: AgentContext;
  private readonly undo: UndoList;
  private readonly network = new GuestNetwork();
  private current: SandboxEnvironment | undefined;
  private holder: PidNamespaceHolder | undefined;
  /** The setup that the present mounts and namespaces were made for. */
  private last: SandboxSetup | undefined;

  constructor(context: AgentContext) {
    this.context = context;
    this.undo = new UndoList(context.logger);
  }

  /** Sets the sandbox up, also when it was set up before. Throws, leaving nothing. */
  async setUp(setup: SandboxSetup, mark: MarkStep): Promise<void> {
    // what is there belongs to the guest's own user namespace
    const reusable = setup.userNamespace === undefined && this.last?.userNamespace === undefined;
    if (reusable && this.last !== undefined && this.current !== undefined)
      return this.change(setup, this.last, this.current, mark);
    await this.tearDown();
    try {
      this.makeAll(setup, mark);
    } catch (error) {
      await this.tearDown();
      throw error;
    }
  }

  /** What the pod's network is from now on. Throws SandboxNotReady before {@link setUp}. */
  changeNetwork(network: PodNetwork): void {
    if (this.last === undefined)
      throw blazarError("SandboxNotReady", "change the network", "the sandbox has not been set up");
    this.network.apply(network);
  }

  /** Removes mounts and namespaces. */
  async tearDown(): Promise<void> {
    this.current = undefined;
    this.holder = undefined;
    this.last = undefined;
    await this.undo.run();
  }

  /** Throws SandboxNotReady before {@link setUp}. */
  environment(): SandboxEnvironment {
    if (this.current !== undefined) return this.current;
    throw blazarError("SandboxNotReady", "create a container", "the sandbox has not been set up");
  }

  /** The pod's user namespace for a container with these maps. Throws InvalidSpec if the pod has another, or none. */
  userNamespace(maps: UserNamespaceMaps | undefined): UserNamespace | undefined {
    if (maps === undefined) return undefined;
    const { userNamespace } = this.environment();
    if (userNamespace !== undefined && sameMaps(userNamespace.maps, maps)) return userNamespace;
    const what = userNamespace === undefined ? "no user namespace" : "a user namespace with other maps";
    throw blazarError("InvalidSpec", "join the pod's user namespace", `the pod was set up with ${what}`);
  }

  /** Opens the shared PID namespace; the caller closes the descriptor. Throws InvalidSpec if there is none. */
  openPidNamespace(): number {
    if (this.holder !== undefined) return this.holder.open();
    throw blazarError(
      "InvalidSpec",
      "join the sandbox's PID namespace",
      "the sandbox was set up without a shared PID namespace",
    );
  }

  private sharePids(userNamespace?: UserNamespace): void {
    const holder = new PidNamespaceHolder(this.context, userNamespace);
    this.undo.add("end the PID namespace", () => holder.end());
    this.holder = holder;
  }

  /**
   * Makes a guest that was set up before, in a template or for the pool, the sandbox of another pod. Names are new; mounts
   * and namespaces stay. A PID namespace that the new pod does not ask for does no harm.
   */
  private change(
    setup: SandboxSetup,
    last: SandboxSetup,
    { sharedMemory }: SandboxEnvironment,
    mark: MarkStep,
  ): void {
    this.identify(setup);
    mark("identity");
    if (setup.shmBytes !== last.shmBytes) this.resizeSharedMemory(setup.shmBytes);
    if (setup.sharedPidNamespace && this.holder === undefined) this.sharePids();
    this.last = setup;
    this.current = { files: this.writeFiles(setup), sharedMemory, userNamespace: undefined };
    mark("files");
    this.connect(setup);
    mark("network");
  }

  /** Sets what must differ from other guests, and from the template: clock, entropy, host name, limits. */
  private identify(setup: SandboxSetup): void {
    setClock(setup.now);
    addEntropy(setup.entropy);
    if (setup.hostname !== "") check(sys.sethostname(setup.hostname), "set the host name", setup.hostname);
    if (setup.limits !== undefined) limitEmptyPod(setup.limits);
  }

  private makeAll(setup: SandboxSetup, mark: MarkStep): void {
    this.last = setup;
    this.identify(setup);
    mark("identity");
    bringUpLoopback();
    makeDirectories(SANDBOX);
    const files = this.writeFiles(setup);
    const userNamespace = this.makeUserNamespace(setup);
    const sharedMemory = setup.shmBytes > 0 ? this.mountSharedMemory(setup.shmBytes) : "";
    if (setup.sharedPidNamespace) this.sharePids(userNamespace);
    this.current = { files, sharedMemory, userNamespace };
    mark("files");
    this.connect(setup);
    mark("network");
  }

  /** Sysctls come last: some are about a link of the pod. */
  private connect({ network, sysctls }: SandboxSetup): void {
    this.network.apply(network);
    const pod = this.current?.userNamespace?.descriptors;
    if (pod === undefined) writeSysctls(sysctls);
    else writeSysctlsIn(pod, this.context.reaper, sysctls);
  }

  private writeFiles(setup: SandboxSetup): Record<string, string> {
    const contents = {
      hosts: setup.hosts,
      hostname: setup.hostname === "" ? "" : `${setup.hostname}\n`,
      "resolv.conf": setup.resolvConf,
    };
    const files: Record<string, string> = { [BOOT_ID]: `${SANDBOX}/boot_id` };
    // the kernel's boot id is the same in all clones of a template; this one comes from the new entropy
    writeText(`${SANDBOX}/boot_id`, readText("/proc/sys/kernel/random/uuid"));
    for (const [name, text] of Object.entries(contents)) {
      // without a name there is none to tell; a resolv.conf may be empty
      if (name === "hostname" && text === "") continue;
      const path = `${SANDBOX}/${name}`;
      writeText(path, text);
      files[`/etc/${name}`] = path;
    }
    const { uid, gid } = rootOf(setup);
    for (const path of Object.values(files))
      check(sys.lchown(path, uid, gid), "give a file to the pod's root", path);
    return files;
  }

  private makeUserNamespace({ userNamespace: maps }: SandboxSetup): UserNamespace | undefined {
    if (maps === undefined) return undefined;
    const made = UserNamespace.make(this.context.reaper, maps);
    this.undo.add("close the user namespace", () => made.close());
    this.undo.add("take the network interfaces back", () => this.network.takeBack());
    this.network.moveTo(made.descriptors.network);
    return made;
  }

  private mountSharedMemory(bytes: number): string {
    makeDirectories(SHARED_MEMORY);
    const flags = sys.MS_NOSUID | sys.MS_NODEV | sys.MS_NOEXEC;
    check(
      sys.mount("shm", SHARED_MEMORY, "tmpfs", flags, `mode=1777,size=${bytes}`),
      "mount the shared memory",
    );
    this.undo.add("unmount the shared memory", () => void sys.umount2(SHARED_MEMORY, sys.MNT_DETACH));
    return SHARED_MEMORY;
  }

  private resizeSharedMemory(bytes: number): void {
    const flags = sys.MS_REMOUNT | sys.MS_NOSUID | sys.MS_NODEV | sys.MS_NOEXEC;
    check(sys.mount("shm", SHARED_MEMORY, "tmpfs", flags, `size=${bytes}`), "resize the shared memory");
  }
}

/** The pod's root, as the guest counts. */
function rootOf({ userNamespace }: SandboxSetup): { readonly uid: number; readonly gid: number } {
  if (userNamespace === undefined) return { uid: 0, gid: 0 };
  const { uids, gids } = userNamespace;
  return { uid: outsideId(uids, 0, "userNamespace.uids"), gid: outsideId(gids, 0, "userNamespace.gids") };
}

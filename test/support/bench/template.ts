/**
 * Templates of real guests for tests: a driver with sealed memory under the real keeper, one template, and clones of it
 * with a link to their agents.
 */
import { randomBytes } from "node:crypto";
import { existsSync } from "node:fs";
import { mkdir, stat } from "node:fs/promises";
import { join } from "node:path";
import { patient } from "../../../lab/host/patience.ts";
import { until } from "../../../lab/host/until.ts";
import { GuestLink } from "../../../src/actors/guest/link.ts";
import { silentLogger } from "../../../src/contracts/logger.ts";
import type { Vm, VmShape, VmSource, VmSpec } from "../../../src/contracts/vm.ts";
import type { VmForks } from "../../../src/contracts/vm-forks.ts";
import { nicsOf } from "../../../src/daemon/nics.ts";
import { HostLayerImages } from "../../../src/host/storage/layer-images.ts";
import { WorkerPool } from "../../../src/host/storage/worker-pool.ts";
import { type SealedFile, sealMemory } from "../../../src/host/templates/sealed-memory.ts";
import { nodeText } from "../../../src/lib/text.ts";
import { type ContainerCreate, SHARE_PORTS } from "../../../src/protocol/guest/messages.ts";
import { StreamReceiver } from "../../../src/protocol/wire/stream.ts";
import type { QemuDriver } from "../../../src/vmm/qemu/driver.ts";
import type { MemoryTasks } from "../../../src/workers/memory.worker.ts";
import type { RootfsTasks } from "../../../src/workers/rootfs.worker.ts";
import type { CloneBench } from "../conformance/clones.ts";
import type { VmmBench } from "../conformance/vmm-bench.ts";
import { containerCreate, sandboxSetup } from "../guest-requests.ts";
import { bundleWorker, type WorkerBundle } from "../worker-bundle.ts";
import { QemuBench } from "./qemu.ts";

const MEBIBYTE = 1024 * 1024;
const REQUEST_MS = patient(30_000);
/** What a guest that runs takes to answer, at most. */
export const PING = { deadlineMs: patient(5000) };
const ENTROPY_BYTES = 64;
export const SHAPE: VmShape = { vcpus: 1, memoryBytes: 192 * MEBIBYTE, nics: nicsOf(process) };

/** A clone whose agent has said hello. */
export interface Guest {
  readonly vm: Vm;
  readonly link: GuestLink;
  readonly share: string;
  /** From the launch to the agent's hello. */
  readonly helloMs: number;
  /** Gives it a name, the time and entropy, and mounts its share. */
  setUp(name: string): Promise<void>;
  /** Takes its share away. */
  unshare(): Promise<void>;
  /** Where its own disk is on the host. */
  readonly disk: string;
  /** Runs a shell script in a container and returns what it prints; by default its writable layer is in memory. */
  run(script: string, diskSerial?: string): Promise<string>;
}

/** Whether a guest's own disk grows on the host by a file, and is small again some seconds after the file is deleted. */
export async function returnsSpace(guest: Guest): Promise<boolean> {
  const bytes = async (): Promise<number> => (await stat(guest.disk)).blocks * 512;
  const before = await bytes();
  await mkdir(join(guest.share, "shared"), { recursive: true });
  await guest.setUp("space");
  const script =
    "mkdir -p /tmp; dd if=/dev/urandom of=/tmp/big bs=1M count=24; sync; sleep 1; rm /tmp/big; exec sleep 1000";
  const ended = guest.run(script, "prepared").then((text) => Promise.reject(new Error(`it ended: ${text}`)));
  const returned = async (): Promise<void> => {
    await until("a large disk", async () => ((await bytes()) > before + 16 * MEBIBYTE ? true : undefined));
    await until("a small disk", async () => ((await bytes()) < before + 2 * MEBIBYTE ? true : undefined));
  };
  await Promise.race([returned(), ended]);
  await guest.vm.kill();
  return true;
}

/** What an original does before it is forked. */
export interface OriginalOptions {
  readonly prepare?: (link: GuestLink) => Promise<void>;
  /** Of its container. */
  readonly script?: string;
}

type Spec<Kind extends VmSource["kind"]> = VmSpec & {
  readonly source: { readonly kind: Kind; readonly disk: string };
};

export class TemplateBench {
  readonly driver: QemuDriver;
  /** Paths of the sealed copies that the driver has asked for, those it has closed left out. */
  readonly sealed = new Set<string>();
  readonly vms: Vm[] = [];
  readonly images: HostLayerImages;
  private count = 0;

  private constructor(
    readonly qemu: QemuBench,
    private readonly bundles: readonly WorkerBundle[],
    private readonly workers: WorkerPool<MemoryTasks>,
    private readonly layers: WorkerPool<RootfsTasks>,
  ) {
    this.images = new HostLayerImages(layers, qemu.built.emptyExt4);
    this.driver = qemu.driverWith({
      sealMemory: (file) => this.seal(file),
      images: this.images,
      ownUser: qemu.user(),
      forkLibrary: qemu.built.forkLibrary ?? undefined,
    });
  }

  /** The bench of the conformance suite, whose VMs are clones of `template`. */
  conformance(template: string): VmmBench {
    const { qemu, driver } = this;
    return {
      driver: {
        name: driver.name,
        ownBytes: (vcpus) => driver.ownBytes(vcpus),
        templates: driver.templates,
        forks: driver.forks,
        probe: (signal) => driver.probe(signal),
        get facts() {
          return driver.facts;
        },
        launch: (spec, signal) => {
          const source = { kind: "clone", template, disk: diskOf(spec) } as const;
          return driver.launch({ ...spec, source }, signal);
        },
        adopt: (adoption, signal) => driver.adopt(adoption, signal),
      },
      failing: qemu.failing,
      hanging: qemu.hanging,
      hangEndsWith: qemu.hangEndsWith,
      clones: true,
      spec: (id) => qemu.spec(id),
      nics: qemu.nics,
      diskImage: () => qemu.diskImage(),
      layerImage: () => qemu.layerImage(),
      killFromOutside: (vm) => qemu.killFromOutside(vm),
      daemonDies: () => qemu.daemonDies(),
      leftovers: () => qemu.leftovers(),
      dispose: () => this.dispose(),
    };
  }

  /** The bench of the suite of clones and forks. */
  cloning(template: string): CloneBench {
    const { qemu, driver } = this;
    const spec = async (id: string): Promise<VmSpec> => ({ ...(await qemu.spec(id)), ...SHAPE });
    return {
      driver,
      template,
      spec,
      emptyDirectory: () => this.directory(),
      diskFor: diskOf,
      exists: async (path) => existsSync(path),
      nics: qemu.nics,
      killFromOutside: (vm) => qemu.killFromOutside(vm),
      daemonDies: () => qemu.daemonDies(),
      leftovers: () => qemu.leftovers(),
      dispose: () => this.dispose(),
    };
  }

  static async start(): Promise<TemplateBench> {
    const [memory, rootfs] = await Promise.all([bundleWorker("memory"), bundleWorker("rootfs")]);
    const workers = new WorkerPool<MemoryTasks>({ file: memory.file, maxThreads: 1 });
    const layers = new WorkerPool<RootfsTasks>({ file: rootfs.file, maxThreads: 1 });
    return new TemplateBench(await QemuBench.start(), [memory, rootfs], workers, layers);
  }

  get forks(): VmForks {
    const { forks } = this.driver;
    if (forks === undefined) throw new Error("the driver does not fork");
    return forks;
  }

  get templates(): NonNullable<QemuDriver["templates"]> {
    const { templates } = this.driver;
    if (templates === undefined) throw new Error("the driver has no templates");
    return templates;
  }

  /** An empty directory, closed to VMMs as the daemon's are. */
  async directory(): Promise<string> {
    const path = join(this.qemu.directory, "templates", `t${this.count++}`);
    await mkdir(path, { recursive: true, mode: 0o700 });
    return path;
  }

  /** Builds a template whose agent has answered. */
  async build(
    directory: string,
    signal = new AbortController().signal,
  ): Promise<readonly { step: string; ms: number }[]> {
    const ready = async (vm: Vm): Promise<void> => {
      const link = await greet(vm);
      const { diskId } = this.templates;
      if (diskId === undefined) throw new Error("templates have no disk");
      // what mounts the clones' writable layers comes with the last of the modules
      await link.request("ping", {}, { deadlineMs: REQUEST_MS });
      const disk = { diskSerial: diskId, filesystem: "ext4" };
      await link.request("disk.prepare", disk, { deadlineMs: REQUEST_MS });
      link.close();
    };
    return this.templates.build(SHAPE, directory, ready, signal);
  }

  /** A clone of `template`; `source.disk` is where its disk goes. */
  async cloneSpec(template: string): Promise<Spec<"clone">> {
    const spec = await this.spec();
    return { ...spec, source: { kind: "clone", template, disk: diskOf(spec) } };
  }

  /** A fork of `original`. */
  async forkSpec(original: Vm): Promise<Spec<"fork">> {
    const spec = await this.spec();
    return { ...spec, source: { kind: "fork", original: original.id, disk: diskOf(spec) } };
  }

  async clone(template: string): Promise<Guest> {
    return this.guest(await this.cloneSpec(template));
  }

  async fork(original: Vm): Promise<Guest> {
    return this.guest(await this.forkSpec(original));
  }

  /** A clone that has run a container and is forked from now on. */
  async original(
    template: string,
    { prepare = async () => undefined, script = "true" }: OriginalOptions = {},
  ): Promise<Vm> {
    const launch = (spec: VmSpec): Promise<Vm> => this.forks.launchOriginal(spec);
    const {
      vm,
      link,
      share,
      setUp: name,
      unshare,
      run: runs,
    } = await this.guest(await this.cloneSpec(template), launch);
    await mkdir(join(share, "shared"));
    await name("original");
    await prepare(link);
    await runs(script);
    await unshare();
    link.close();
    await this.forks.completeOriginal(vm, new AbortController().signal);
    return vm;
  }

  private async spec(): Promise<VmSpec> {
    return { ...(await this.qemu.spec(`guest-${this.count++}`)), ...SHAPE };
  }

  /** A VM that is a clone or a fork, whose agent has said hello. */
  private async guest(
    spec: Spec<"clone" | "fork">,
    launch: (spec: VmSpec) => Promise<Vm> = (each) => this.driver.launch(each),
  ): Promise<Guest> {
    const started = performance.now();
    const vm = await launch(spec);
    this.vms.push(vm);
    const link = await greet(vm);
    const helloMs = performance.now() - started;
    const { share, end } = await this.qemu.serve(vm, spec);
    return {
      vm,
      link,
      share,
      helloMs,
      setUp: (name) => setUp(link, name),
      unshare: async () => {
        await link.request("share.unmount", { share: "layers" }, { deadlineMs: REQUEST_MS });
        await vm.detachPort(SHARE_PORTS.layers);
        await end();
      },
      disk: diskOf(spec),
      run: (script, diskSerial) => run(link, script, diskSerial),
    };
  }

  async killAll(): Promise<void> {
    await Promise.all(this.vms.splice(0).map((vm) => vm.kill()));
  }

  private async seal(file: string): Promise<SealedFile> {
    const { path, close } = await sealMemory(this.workers, file);
    this.sealed.add(path);
    return {
      path,
      close: async () => {
        this.sealed.delete(path);
        await close();
      },
    };
  }

  async dispose(): Promise<void> {
    await this.killAll();
    await Promise.all([this.workers.close(), this.layers.close()]);
    await Promise.all(this.bundles.map((bundle) => bundle.remove()));
    await this.qemu.dispose();
  }
}

/** Beside the directories of VMs, where nothing may be left. */
function diskOf(spec: VmSpec): string {
  return join(spec.directory, "..", "..", `${spec.id}.disk`);
}

/** Both ends say hello. */
export async function greet(vm: Vm): Promise<GuestLink> {
  const session = randomBytes(16).toString("hex");
  const link = new GuestLink(await vm.connectAgent(), {
    sandboxId: vm.id,
    session,
    text: nodeText,
    logger: silentLogger,
  });
  await link.hello;
  return link;
}

async function setUp(link: GuestLink, name: string): Promise<void> {
  const entropy = randomBytes(ENTROPY_BYTES).toString("hex");
  const setup = sandboxSetup({ sandboxId: name, hostname: name, entropy });
  await link.request("sandbox.setup", setup, { deadlineMs: REQUEST_MS });
  await link.request("share.mount", { share: "layers" }, { deadlineMs: REQUEST_MS });
}

async function run(link: GuestLink, script: string, diskSerial = ""): Promise<string> {
  const stdout = link.allotStream();
  const id = `c${stdout}`;
  const output = collect(link, stdout);
  await link.request("container.create", container(id, script, stdout, diskSerial), {
    deadlineMs: REQUEST_MS,
  });
  await link.request("process.start", { id, execId: "" }, { deadlineMs: REQUEST_MS });
  const text = await output;
  await link.request("container.delete", { id }, { deadlineMs: REQUEST_MS });
  return text;
}

function collect(link: GuestLink, stream: number): Promise<string> {
  const chunks: Uint8Array[] = [];
  return new Promise((resolve) => {
    const receiver = new StreamReceiver({
      stream,
      send: (frame) => link.sendFrame(frame),
      onData: (bytes) => {
        chunks.push(bytes.slice());
        receiver.consumed(bytes.length);
      },
      onEnd: () => {
        receiver.consumedEnd();
        resolve(Buffer.concat(chunks).toString());
      },
    });
    link.openStream(stream, {
      data: (offset, bytes) => receiver.data(offset, bytes),
      end: (offset) => receiver.end(offset),
      attached: () => receiver.attached(),
    });
  });
}

/** A container on the guest's own small root, with the sandbox's shared memory and what its share has to show. */
function container(id: string, script: string, stdout: number, diskSerial: string): ContainerCreate {
  const plain = containerCreate(id, ["sh", "-c", script]);
  const shared = { type: "bind", source: "shared", destination: "/shared", options: ["rbind", "ro"] };
  const memory = { type: "tmpfs", source: "shm", destination: "/dev/shm", options: ["nosuid", "nodev"] };
  const rootfs = { ...plain.rootfs, diskSerial, filesystem: diskSerial === "" ? "" : "ext4" };
  return {
    ...plain,
    rootfs,
    stdio: { stdin: 0, stdout, stderr: 0 },
    mounts: [...plain.mounts, memory, shared],
  };
}

/**
 * The real QEMU under the real keeper, for the conformance suite and the integration tests of the driver.
 *
 * As root each VM gets a user of its own, as it does in the daemon. Everything lies in one directory and is gone after
 * `dispose`, processes included.
 */
import { execFile } from "node:child_process";
import { chmod, chown, mkdir, mkdtemp, readdir, rm, truncate, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import { patient } from "../../../lab/host/patience.ts";
import { type Artifacts, artifacts } from "../../../setup/steps/artifacts.ts";
import { SLOT_BYTES } from "../../../src/contracts/images.ts";
import { silentLogger } from "../../../src/contracts/logger.ts";
import type { ShareKind } from "../../../src/contracts/share-kind.ts";
import type { Vm, VmSpec } from "../../../src/contracts/vm.ts";
import { nicsOf } from "../../../src/daemon/nics.ts";
import { KeeperFileServers } from "../../../src/host/storage/file-servers.ts";
import { SIGKILL } from "../../../src/lib/signals.ts";
import { SHARE_PORTS } from "../../../src/protocol/guest/messages.ts";
import { QemuDriver, type QemuDriverOptions } from "../../../src/vmm/qemu/driver.ts";
import type { VmmBench } from "../conformance/vmm-bench.ts";
import { sandboxSetup } from "../guest-requests.ts";
import { inlineFileSender } from "../inline-file-sender.ts";
import { inlineSeccomp } from "../inline-seccomp.ts";
import { Connections } from "./connections.ts";
import { DriverGuest } from "./guest.ts";
import { RealKeeper } from "./keeper.ts";
import { BenchNics } from "./nics.ts";

const MEBIBYTE = 1024 * 1024;
const MEMORY_BYTES = 192 * MEBIBYTE;
const DISK_BYTES = 16 * MEBIBYTE;
const FIRST_UID = 61_000;
const UIDS = 1000;
/** `npm run test:kvm` asks for KVM: a driver that cannot have it fails. */
export const EXPECTED = process.env["BLAZAR_TEST_ACCELERATION"] === "kvm" ? "kvm" : "tcg";
const DEADLINES = { launch: patient(30_000), vmmExit: patient(10_000), kvmProbe: patient(30_000) };
/** Of a VMM that never answers. */
const SHORT_LAUNCH_MS = 500;

/** Answers `--version` as QEMU does, and otherwise nothing at all. */
const MUTE_QEMU = `#!/bin/sh
[ "$1" = --version ] && exec echo "QEMU emulator version 9.0.0"
exec sleep 600
`;

export class QemuBench implements VmmBench {
  readonly hangEndsWith = "DeadlineExceeded";
  readonly driver: QemuDriver;
  readonly failing: QemuDriver;
  readonly hanging: QemuDriver;
  /** As root only: a keeper without it makes no taps. */
  readonly nics = process.getuid?.() === 0 ? new BenchNics(artifacts().busybox.binary) : undefined;
  private readonly connections: Connections;
  private nextUid = FIRST_UID + (process.pid % UIDS);
  private images = 0;
  private readonly mounts: string[] = [];

  private constructor(
    readonly directory: string,
    readonly keeper: RealKeeper,
    readonly built: Artifacts,
  ) {
    this.connections = new Connections(join(directory, "vms"));
    this.driver = this.driverWith({});
    this.failing = this.driverWith({ kernel: join(directory, "no-kernel") });
    this.hanging = this.driverWith({
      binary: join(directory, "mute-qemu"),
      deadlines: { ...DEADLINES, launch: SHORT_LAUNCH_MS, vmmExit: 5000 },
    });
  }

  static async start(): Promise<QemuBench> {
    const directory = await mkdtemp(join(tmpdir(), "blazar-qemu-"));
    await chmod(directory, 0o711);
    await mkdir(join(directory, "vms"), { mode: 0o711 });
    await writeFile(join(directory, "no-kernel"), "this is not a kernel");
    await writeFile(join(directory, "mute-qemu"), MUTE_QEMU, { mode: 0o755 });
    return new QemuBench(directory, await RealKeeper.start(), artifacts());
  }

  /** A driver like the bench's, but for these options. */
  driverWith(options: Partial<QemuDriverOptions>): QemuDriver {
    return new QemuDriver({
      keeper: this.keeper.keeper,
      binary: "qemu-system-x86_64",
      kernel: this.built.vmlinux,
      initramfs: this.built.initramfs,
      acceleration: EXPECTED,
      deadlines: DEADLINES,
      logger: silentLogger,
      seccomp: inlineSeccomp,
      sendFile: inlineFileSender,
      users: { firstUid: FIRST_UID, count: UIDS },
      translatedCodeBytes: 96 * MEBIBYTE,
      // the daemon's: whether KVM works is found out once
      cacheDirectory: this.built.cache,
      ...options,
    });
  }

  async spec(id: string): Promise<VmSpec> {
    const directory = join(this.directory, "vms", id);
    await mkdir(directory, { recursive: true, mode: 0o700 });
    const user = this.user();
    if (user !== undefined) await chown(directory, user.uid, user.gid);
    const shape = { vcpus: 1, memoryBytes: MEMORY_BYTES, nics: nicsOf(process) };
    return { id, directory, ...shape, user, cgroups: [], source: { kind: "boot" } };
  }

  /** Makes a directory, starts a file server on it and plugs its port in. The guest has to mount it. */
  async serve(
    vm: Vm,
    { directory, user }: VmSpec,
    kind: ShareKind = "layers",
    share = join(this.directory, "shares", vm.id),
  ): Promise<{ share: string; pid: number; end(): Promise<void> }> {
    const { keeper } = this.keeper;
    await mkdir(share, { recursive: true, mode: 0o700 });
    const servers = new KeeperFileServers({ keeper, binary: this.built.fileServer, seccomp: inlineSeccomp });
    const [id, socket] = [`${vm.id}-${kind}`, join(directory, `${kind}.sock`)];
    const what = { id, kind, directory: share, changes: false, socket, user, cgroups: [] };
    const { pid } = await servers.start(what, new AbortController().signal);
    await vm.attachPort({ name: SHARE_PORTS[kind], socket });
    await Promise.all([rm(`${socket}.log`), rm(socket)]);
    const end = async (): Promise<void> => {
      await keeper.exited(id);
      await keeper.forget(id);
    };
    void vm.exited.then(end).catch(() => undefined);
    return { share, pid, end };
  }

  /** A sparse image that every VM may open. */
  async diskImage(): Promise<string> {
    const path = join(this.directory, `disk-${this.images++}.img`);
    await writeFile(path, "");
    await truncate(path, DISK_BYTES);
    await chmod(path, 0o666);
    return path;
  }

  /** An image of a slot's size, with nothing in it. */
  async layerImage(): Promise<string> {
    const path = await this.diskImage();
    await truncate(path, SLOT_BYTES);
    return path;
  }

  /** A copy of set-up's empty ext4 image, as sparse as that one. */
  async emptyLayer(): Promise<string> {
    const path = join(this.directory, `layer-${this.images++}.ext4`);
    await promisify(execFile)("cp", ["--sparse=always", this.built.emptyExt4.image, path]);
    await chmod(path, 0o666);
    return path;
  }

  /** As root only: it needs a file system of its own. */
  readonly fillDisk = process.getuid?.() === 0 ? (vm: Vm) => this.writeToFullDisk(vm) : undefined;

  /** A file system of this size for images, until {@link dispose}. */
  async smallFileSystem(bytes: number): Promise<string> {
    const directory = join(this.directory, `small-${this.mounts.length}`);
    await mkdir(directory);
    await promisify(execFile)("mount", [
      "-t",
      "tmpfs",
      "-o",
      `size=${bytes},mode=711`,
      "blazar-test",
      directory,
    ]);
    this.mounts.push(directory);
    return directory;
  }

  private async writeToFullDisk(vm: Vm): Promise<void> {
    const image = join(await this.smallFileSystem(MEBIBYTE), "full.img");
    await writeFile(image, "");
    await truncate(image, DISK_BYTES);
    await chmod(image, 0o666);
    await vm.attachDisk({ id: "full", path: image, readonly: false });
    const guest = await DriverGuest.of(vm);
    await guest.ask("sandbox.setup", sandboxSetup());
    // no file system in between: the disk is found by its size, because the slots have SCSI's first numbers
    const find = `while read major minor blocks name; do [ "$blocks" = ${DISK_BYTES / 1024} ] && mknod /d b $major $minor; done`;
    const script = `until ${find} </proc/partitions; [ -b /d ]; do sleep 0.1; done; dd if=/dev/zero of=/d bs=1M count=4 conv=fsync`;
    await guest.run("writer", ["sh", "-c", script]);
  }

  async daemonDies(): Promise<void> {
    this.connections.die((path) => (path.endsWith("qmp.sock") ? '{"execute":"query-sta' : ""));
  }

  async killFromOutside(vm: Vm): Promise<void> {
    process.kill(vm.identity.pid, SIGKILL);
  }

  async leftovers(): Promise<readonly string[]> {
    const processes = this.keeper.keeper.inventory().processes.map(({ id }) => `process ${id}`);
    const directories = await readdir(join(this.directory, "vms"));
    const files = await Promise.all(
      directories.map(async (id) =>
        (await readdir(join(this.directory, "vms", id))).map((file) => `${id}/${file}`),
      ),
    );
    return [...processes, ...files.flat()];
  }

  async dispose(): Promise<void> {
    this.connections.dispose();
    this.nics?.dispose();
    await this.keeper.dispose();
    for (const directory of this.mounts) await promisify(execFile)("umount", ["--lazy", directory]);
    await rm(this.directory, { recursive: true, force: true });
  }

  user(): VmSpec["user"] {
    if (process.getuid?.() !== 0) return undefined;
    const uid = this.nextUid++;
    return { uid, gid: uid };
  }
}

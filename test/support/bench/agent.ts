/**
 * One VM for all tests of the guest agent, and short ways to run something in it. Booting under software emulation is slow,
 * so there is only one. It is made when tests are collected, and started before the first of them.
 */
import { copyFile, mkdir, mkdtemp, rm, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { artifacts } from "../../../setup/steps/artifacts.ts";
import type { ContainerCreate, GuestProcess, GuestStdio } from "../../../src/protocol/guest/messages.ts";
import { BareGuest, type Output } from "../bare-guest.ts";
import { containerCreate, guestProcess } from "../guest-requests.ts";

export const BUILTIN = {
  kind: "builtin",
  path: "",
  imageSerials: [] as string[],
  diskSerial: "",
  filesystem: "",
  readonly: false,
} as const;
/** The root that the bench has made in the share. */
export const LAYERS = { ...BUILTIN, kind: "layers", path: "image" } as const;
export const MOUNTS = [
  { type: "proc", source: "proc", destination: "/proc", options: ["nosuid", "noexec", "nodev"] },
  { type: "tmpfs", source: "tmpfs", destination: "/dev", options: ["nosuid", "mode=755", "size=65536k"] },
  {
    type: "devpts",
    source: "devpts",
    destination: "/dev/pts",
    options: ["nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620", "gid=5"],
  },
  { type: "tmpfs", source: "shm", destination: "/dev/shm", options: ["nosuid", "nodev", "size=65536k"] },
  { type: "mqueue", source: "mqueue", destination: "/dev/mqueue", options: ["nosuid", "noexec", "nodev"] },
  { type: "sysfs", source: "sysfs", destination: "/sys", options: ["nosuid", "noexec", "nodev", "ro"] },
  { type: "cgroup", source: "cgroup", destination: "/sys/fs/cgroup", options: ["nosuid", "noexec", "ro"] },
];
export const NO_STDIO: GuestStdio = { stdin: 0, stdout: 0, stderr: 0 };
/** How a container's first process is made, and the value of {@link AgentBench.prepares} for it. */
export const WAYS: [string, boolean][] = [
  ["by a clone of the agent", false],
  ["by a prepared child", true],
];

export function processOf(args: string[], more: Partial<GuestProcess> = {}): GuestProcess {
  return guestProcess(args, { noNewPrivileges: true, ...more });
}

/** For other users than the guest's, to whom the builtin root does not belong: the pod's files need places that can be made. */
const ETC = { type: "tmpfs", source: "tmpfs", destination: "/etc", options: ["mode=755"] };

export function specOf(
  id: string,
  process: GuestProcess,
  more: Partial<ContainerCreate> = {},
): ContainerCreate {
  const mounts = more.userNamespace === undefined ? MOUNTS : [...MOUNTS, ETC];
  return containerCreate(id, [], { process, mounts, ...more });
}

/** Network interfaces of the VM. */
const NICS = 2;

export class AgentBench {
  /** The host's, for images of disks. */
  directory = "";
  /** Whether the prepared child makes containers' first processes; otherwise the agent clones itself. */
  prepares = false;
  private vm: BareGuest | undefined;
  private containers = 0;

  async start(): Promise<void> {
    this.directory = await mkdtemp(path.join(tmpdir(), "blazar-agent-"));
    const { vmlinux, initramfs } = artifacts();
    this.vm = await BareGuest.launch({ directory: this.directory, vmlinux, initramfs, nics: NICS });
    await this.makeRoot(LAYERS.path);
    await this.vm.connect();
  }

  async dispose(): Promise<void> {
    await this.vm?.kill();
    await rm(this.directory, { recursive: true, force: true });
  }

  get guest(): BareGuest {
    if (this.vm === undefined) throw new Error("the VM was not started");
    return this.vm;
  }

  newId(): string {
    this.containers++;
    return `c${this.containers}`;
  }

  async create(spec: ContainerCreate): Promise<void> {
    if (this.prepares) await this.guest.request("child.prepare", {});
    await this.guest.request("container.create", spec);
  }

  remove(id: string): Promise<unknown> {
    return this.guest.request("container.delete", { id });
  }

  /** Runs a shell script in a container to its end and deletes it. */
  async run(
    script: string | string[],
    more: Partial<ContainerCreate> = {},
    process: Partial<GuestProcess> = {},
  ): Promise<{ status: number; stdout: string; stderr: string; oomKilled: boolean }> {
    const { guest } = this;
    const id = this.newId();
    const { stream: stdout, output } = guest.output();
    const { stream: stderr, output: errors } = guest.output();
    const args = typeof script === "string" ? ["sh", "-c", script] : script;
    const stdio = { stdin: 0, stdout, stderr };
    await this.create(specOf(id, processOf(args, process), { stdio, ...more }));
    await guest.request("process.start", { id, execId: "" });
    const { status } = await guest.exit(id);
    const oomKilled = guest.oomKills(id) > 0;
    await Promise.all([output.ended, errors.ended]);
    await this.remove(id);
    return { status, oomKilled, stdout: output.text(), stderr: errors.text() };
  }

  /** Starts a container that stays. */
  async stay(
    args: string[],
    more: Partial<ContainerCreate> = {},
    process: Partial<GuestProcess> = {},
  ): Promise<{ id: string; output: Output }> {
    const id = this.newId();
    const { stream: stdout, output } = this.guest.output();
    const stdio = { stdin: 0, stdout, stderr: 0 };
    await this.create(specOf(id, processOf(args, process), { stdio, ...more }));
    await this.guest.request("process.start", { id, execId: "" });
    return { id, output };
  }

  /** Runs a shell script as one more process of a container. */
  async exec(id: string, script: string): Promise<{ status: number; stdout: string }> {
    const { guest } = this;
    const { stream: stdout, output } = guest.output();
    const execId = `exec-${stdout}`;
    const process = processOf(["sh", "-c", script]);
    await guest.request("process.exec", { id, execId, process, stdio: { ...NO_STDIO, stdout } });
    const { status } = await guest.exit(id, execId);
    await output.ended;
    await guest.request("process.delete", { id, execId });
    return { status, stdout: output.text() };
  }

  /** A root in the share: busybox, and the files that a test adds. */
  async makeRoot(name: string): Promise<string> {
    const root = path.join(this.guest.share, name);
    for (const each of ["bin", "etc", "proc", "tmp"]) await mkdir(path.join(root, each), { recursive: true });
    await copyFile(artifacts().busybox.binary, path.join(root, "bin/busybox"));
    for (const applet of ["sh", "cat", "ls", "sleep", "true", "echo", "mkfifo", "stat", "touch"]) {
      await symlink("busybox", path.join(root, "bin", applet));
    }
    await writeFile(
      path.join(root, "etc/passwd"),
      "root:x:0:0:root:/root:/bin/sh\nuser:x:7:8::/home/user:/bin/sh\n",
    );
    return root;
  }
}

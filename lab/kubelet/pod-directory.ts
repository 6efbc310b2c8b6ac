/**
 * A pod's directory as a kubelet makes it: hosts file, termination logs, volumes of each sort, parts of volumes.
 *
 * Paths and steps are those of Kubernetes 1.34 (kubelet_getters.go, util/atomic_writer.go, subpath_linux.go), so that a
 * runtime cannot tell the difference. Needs root for what is mounted. {@link PodDirectory.remove} takes everything away.
 */
import { chmod, chown, mkdir, mkdtemp, rename, rm, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { unmountBelow } from "../host/mounts.ts";
import { runProgram } from "../host/program.ts";

type ProjectedPlugin = "configmap" | "secret" | "projected" | "downward-api";
type Files = Readonly<Record<string, string | Uint8Array>>;

/** Who may read the files of a volume. */
export interface VolumeAccess {
  /** The pod's fsGroup. */
  readonly group?: number;
  readonly mode?: number;
}

export class PodDirectory {
  private count = 0;

  private constructor(
    private readonly root: string,
    private readonly pod: string,
  ) {}

  static async make(): Promise<PodDirectory> {
    const root = await mkdtemp(join(tmpdir(), "blazar-kubelet-"));
    await chmod(root, 0o755);
    const pod = join(root, "pods", "8a1c0f5e-7d5a-4c7b-9a0e-111111111111");
    await mkdir(pod, { recursive: true });
    return new PodDirectory(root, pod);
  }

  async remove(): Promise<void> {
    await unmountBelow(this.root);
    await rm(this.root, { recursive: true, force: true });
  }

  /** The hosts file of the pod. */
  async hostsFile(text: string): Promise<string> {
    const path = join(this.pod, "etc-hosts");
    await writeFile(path, `# Kubernetes-managed hosts file.\n${text}`, { mode: 0o644 });
    return path;
  }

  async terminationLog(container: string): Promise<string> {
    const directory = join(this.pod, "containers", container);
    await mkdir(directory, { recursive: true });
    const path = join(directory, (++this.count).toString(16).padStart(8, "0"));
    await writeFile(path, "");
    await chmod(path, 0o666);
    return path;
  }

  /** A volume of files that kubelet replaces as a whole. */
  async projected(
    plugin: ProjectedPlugin,
    name: string,
    files: Files,
    access: VolumeAccess = {},
  ): Promise<AtomicVolume> {
    const directory = await this.volume(plugin, name);
    // all but configMaps are in memory
    if (plugin !== "configmap") await mountTmpfs(directory, 1024 * 1024);
    const volume = new AtomicVolume(directory, access);
    await volume.write(files);
    return volume;
  }

  /** An emptyDir; one with a size is in memory. */
  async emptyDir(name: string, memoryBytes?: number): Promise<string> {
    const directory = await this.volume("empty-dir", name);
    if (memoryBytes !== undefined) await mountTmpfs(directory, memoryBytes);
    await chmod(directory, 0o777);
    return directory;
  }

  /** A file or directory that belongs to the host, or to somebody's volume. */
  async elsewhere(name: string): Promise<string> {
    const directory = join(this.root, "host", name);
    await mkdir(directory, { recursive: true });
    return directory;
  }

  /** Binds a part of a volume where kubelet does it, for one container (subPath). It is a directory, made if missing. */
  async part(volume: string, path: string, container: string): Promise<string> {
    const target = join(this.pod, "volume-subpaths", "volume", container, `${this.count++}`);
    await mkdir(join(volume, path), { recursive: true });
    await mkdir(target, { recursive: true });
    await runProgram("mount", ["--bind", join(volume, path), target]);
    return target;
  }

  /** The same of a file that is there. */
  async filePart(volume: string, path: string, container: string): Promise<string> {
    const directory = join(this.pod, "volume-subpaths", "volume", container);
    await mkdir(directory, { recursive: true });
    const target = join(directory, `${this.count++}`);
    await writeFile(target, "");
    await runProgram("mount", ["--bind", join(volume, path), target]);
    return target;
  }

  private async volume(plugin: ProjectedPlugin | "empty-dir", name: string): Promise<string> {
    const directory = join(this.pod, "volumes", `kubernetes.io~${plugin}`, name);
    await mkdir(directory, { recursive: true });
    return directory;
  }
}

/** A volume that is replaced as a whole: kubelet's AtomicWriter. */
export class AtomicVolume {
  private state = "";
  private count = 0;
  private names: readonly string[] = [];

  constructor(
    readonly directory: string,
    private readonly access: VolumeAccess,
  ) {}

  /** Replaces all files, in the order of AtomicWriter's steps. @param name of the state; a number if absent */
  async write(files: Files, name = `state_${++this.count}`): Promise<void> {
    const before = this.state;
    const state = `..${name}`;
    this.state = state;
    const directory = join(this.directory, state);
    await mkdir(directory, { mode: 0o755 });
    for (const [name, content] of Object.entries(files)) {
      const file = join(directory, name);
      await writeFile(file, content);
      await chmod(file, this.access.mode ?? 0o644);
    }
    if (this.access.group !== undefined) await this.own(this.access.group, directory, files);
    await symlink(state, join(this.directory, "..data_tmp"));
    await rename(join(this.directory, "..data_tmp"), join(this.directory, "..data"));
    const names = Object.keys(files);
    for (const name of names)
      if (!this.names.includes(name)) await symlink(`..data/${name}`, join(this.directory, name));
    for (const name of this.names)
      if (!names.includes(name)) await rm(join(this.directory, name), { force: true });
    this.names = names;
    if (before !== "") await rm(join(this.directory, before), { recursive: true, force: true });
  }

  private async own(group: number, directory: string, files: Files): Promise<void> {
    for (const path of [this.directory, directory]) {
      await chown(path, 0, group);
      await chmod(path, 0o2775);
    }
    for (const name of Object.keys(files)) await chown(join(directory, name), 0, group);
  }
}

async function mountTmpfs(directory: string, bytes: number): Promise<void> {
  await runProgram("mount", ["-t", "tmpfs", "-o", `size=${bytes}`, "tmpfs", directory]);
}

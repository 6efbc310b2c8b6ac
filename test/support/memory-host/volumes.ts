/**
 * What a host has for volumes, in memory: sources that a test puts there, decided about by the real table.
 *
 * It passes the same suite as the real host (test/support/conformance/volumes.ts).
 */
import { blazarError } from "../../../src/contracts/errors.ts";
import type {
  HostVolumes,
  SourceFacts,
  VolumeEntry,
  VolumeMount,
  VolumeNews,
  VolumePlan,
  VolumeRequest,
  VolumeWatch,
} from "../../../src/contracts/volumes.ts";
import { isSameFile } from "../../../src/lib/file-version.ts";
import { volumePlan } from "../../../src/oci/spec/volumes.ts";

const ROOT = { mode: 0o755, uid: 0, gid: 0 };

/** A directory on an ordinary disk. */
export function sourceFacts(source: string, more: Partial<SourceFacts> = {}): SourceFacts {
  return {
    type: "directory",
    ...ROOT,
    major: 0,
    minor: 0,
    filesystem: "other",
    filesystemBytes: 2 ** 30,
    mounted: false,
    origin: source,
    originOwner: ROOT,
    ...more,
  };
}

interface Source {
  readonly facts: SourceFacts;
  entries: readonly VolumeEntry[];
}

let versions = 0;

/** A file's or a link's entry, or a directory's. Those of one path are the same file, unless its inode number is another. */
export function volumeEntry(
  path: string,
  type: VolumeEntry["type"] = "directory",
  text = "",
  inode = 1,
): VolumeEntry {
  const content = type === "file" ? Buffer.from(text).toString("base64") : text;
  return { path, type, ...ROOT, mtimeMs: 0, content, version: `0:${inode}:${++versions}:0` };
}

export class MemoryVolumes implements HostVolumes {
  readonly sources = new Map<string, Source>();
  /** By target. */
  readonly mounts = new Map<string, VolumeMount>();
  readonly watches = new Map<VolumeNews, string>();
  readonly written = new Map<string, string>();
  /** May throw. */
  beforeCall: (call: keyof HostVolumes) => void = () => undefined;
  /** Errors of the next calls. */
  readonly faults = new Set<keyof HostVolumes>();

  /** Puts something there, or replaces it; whoever watches it is told. */
  put(source: string, entries: readonly VolumeEntry[] = [], more: Partial<SourceFacts> = {}): void {
    this.sources.set(source, { facts: sourceFacts(source, more), entries });
    for (const [news, watched] of this.watches) if (watched === source) news.changed();
  }

  /** A volume as kubelet's AtomicWriter makes it, in one of its states. */
  putAtomic(source: string, state: string, files: Readonly<Record<string, string>>): void {
    this.put(source, [
      volumeEntry(""),
      volumeEntry(`..${state}`),
      ...Object.entries(files).map(([name, text]) => volumeEntry(`..${state}/${name}`, "file", text)),
      volumeEntry("..data", "link", `..${state}`),
      ...Object.keys(files).map((name) => volumeEntry(name, "link", `..data/${name}`)),
    ]);
  }

  async plan(requests: readonly VolumeRequest[]): Promise<VolumePlan[]> {
    this.maybeFail("plan");
    return requests.map((request) => {
      const found = this.sources.get(request.source);
      const facts = found?.facts ?? sourceFacts(request.source, { type: "missing" });
      return volumePlan({ request, facts, copy: () => ({ entries: found?.entries ?? [] }) });
    });
  }

  async read(source: string): Promise<readonly VolumeEntry[] | undefined> {
    this.maybeFail("read");
    return this.sources.get(source)?.entries;
  }

  /** A watch is a file descriptor of the daemon's. */
  daemonDies(): void {
    this.watches.clear();
  }

  watch(source: string, version: string, news: VolumeNews): VolumeWatch {
    this.watches.set(news, source);
    if (this.sources.get(source)?.entries[0]?.version !== version) queueMicrotask(() => news.changed());
    return { close: () => void this.watches.delete(news) };
  }

  async mount(mount: VolumeMount): Promise<void> {
    this.maybeFail("mount");
    this.mounts.set(mount.target, mount);
  }

  async unmount({ target }: Pick<VolumeMount, "target">): Promise<void> {
    this.maybeFail("unmount");
    this.mounts.delete(target);
  }

  async writeBack(path: string, version: string, bytes: Uint8Array): Promise<void> {
    this.maybeFail("writeBack");
    const { facts, entries: [entry] = [] } = this.sources.get(path) ?? {};
    if (facts?.type !== "file" || !isSameFile(entry?.version ?? "", version))
      throw blazarError("StorageFailed", "write a file back", "it is no regular file", { subject: path });
    this.written.set(path, Buffer.from(bytes).toString());
  }

  /** What somebody still has to undo. */
  get remains(): string[] {
    return [
      ...[...this.mounts.keys()].map((target) => `volume ${target}`),
      ...[...this.watches.values()].map((source) => `watch of ${source}`),
    ];
  }

  private maybeFail(call: keyof HostVolumes): void {
    this.beforeCall(call);
    if (!this.faults.delete(call)) return;
    throw blazarError("StorageFailed", `${call} volumes`, "a fault of the test");
  }
}

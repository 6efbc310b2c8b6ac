/** The volumes in a fake guest's memory: names, and what has been written into each. */
import { blazarError } from "../../../src/contracts/errors.ts";
import type { VolumeSwap, VolumeWrite } from "../../../src/protocol/guest/volumes.ts";

export class FakeVolumes {
  /** Name → path → what is there: a file's text, `→ target` of a link, "/" for a directory. */
  readonly all = new Map<string, Map<string, string>>();
  /** Bytes of those that are a tmpfs of their own. */
  readonly memories = new Map<string, number>();

  write({ volumes }: VolumeWrite): Record<string, never> {
    for (const { name, bytes, parts } of volumes) {
      const files = this.all.get(name) ?? new Map<string, string>();
      this.all.set(name, files);
      if (bytes !== undefined) this.memories.set(name, bytes);
      for (const { path, type, offset, content } of parts) {
        const text = Buffer.from(content, "base64").toString();
        const before = offset === 0 ? "" : (files.get(path) ?? "");
        files.set(path, type === "directory" ? "/" : type === "link" ? `→ ${content}` : before + text);
      }
    }
    return {};
  }

  swap({ name, renames, removed }: VolumeSwap): Record<string, never> {
    const files = this.existing(name);
    for (const { from, to } of renames) {
      const moved = files.get(from);
      if (moved === undefined)
        throw blazarError("Internal", "replace a part of a volume", "there is none", { subject: from });
      files.delete(from);
      files.set(to, moved);
    }
    for (const path of removed)
      for (const each of [...files.keys()])
        if (each === path || each.startsWith(`${path}/`)) files.delete(each);
    return {};
  }

  remove(names: readonly string[]): Record<string, never> {
    for (const name of names) this.all.delete(name);
    return {};
  }

  clear(): void {
    this.all.clear();
    this.memories.clear();
  }

  /** What a container would read; links are followed within the volume. */
  read(name: string, path: string): string | undefined {
    const files = this.existing(name);
    const parts = path.split("/");
    for (let length = 1; length <= parts.length; length++) {
      const head = parts.slice(0, length).join("/");
      const found = files.get(head);
      if (found?.startsWith("→ ")) return this.read(name, [found.slice(2), ...parts.slice(length)].join("/"));
    }
    return files.get(path);
  }

  private existing(name: string): Map<string, string> {
    const files = this.all.get(name);
    if (files !== undefined) return files;
    throw blazarError("Internal", "find a volume", "there is none of this name", { subject: name });
  }
}

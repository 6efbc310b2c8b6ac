/**
 * What a template depends on, made small: hashes of files, of the host's processor, and one key of all parts.
 *
 * Hashes of files are kept as long as size and modification time stay.
 */
import { createHash } from "node:crypto";
import { createReadStream } from "node:fs";
import { readFile, stat } from "node:fs/promises";
import { pipeline } from "node:stream/promises";
import type { TemplateIdentity } from "../../../contracts/vmm.ts";

const KEY_DIGITS = 32;
const WHAT_IT_IS = /^(vendor_id|cpu family|model|model name|stepping|flags|microcode)\s*:/;

export function sha256(bytes: Uint8Array | string): string {
  return createHash("sha256").update(bytes).digest("hex");
}

/** Two templates with the same parts have the same key. */
export function templateIdentity(parts: Readonly<Record<string, string>>): TemplateIdentity {
  return { key: sha256(JSON.stringify(parts)).slice(0, KEY_DIGITS), parts };
}

/** Changes when a file does. */
export async function fileStamp(path: string): Promise<string> {
  const { size, mtimeMs } = await stat(path);
  return `${size}/${mtimeMs}`;
}

/** What a guest sees that has the host's processor; a clone must find what its template saw. */
export async function hostCpu(): Promise<string> {
  return cpuOf(await readFile("/proc/cpuinfo", "latin1").catch(() => ""));
}

/** Of proc_cpuinfo(5): model, features and microcode of the first processor, and not how fast it runs at the moment. */
export function cpuOf(cpuinfo: string): string {
  const [first = ""] = cpuinfo.split("\n\n");
  const lines = first.split("\n").filter((line) => WHAT_IT_IS.test(line));
  return `host ${sha256(lines.join("\n")).slice(0, KEY_DIGITS)}`;
}

/** Hashes of files by path; one per driver. */
export class FileHashes {
  private readonly known = new Map<string, { readonly stamp: string; readonly hash: Promise<string> }>();

  async of(path: string): Promise<string> {
    const stamp = await fileStamp(path);
    const known = this.known.get(path);
    if (known?.stamp === stamp) return known.hash;
    const hash = hashFile(path);
    this.known.set(path, { stamp, hash });
    hash.catch(() => this.known.delete(path));
    return hash;
  }
}

async function hashFile(path: string): Promise<string> {
  const hash = createHash("sha256");
  await pipeline(createReadStream(path), hash);
  return hash.digest("hex");
}

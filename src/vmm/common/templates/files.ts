/**
 * A template's files: the guest's memory, its devices' state, what is on its disk, and the manifest that says what they are.
 *
 * The manifest is written last and renamed into place: a directory without one holds no template. The files may have been
 * cut short or changed by anybody, so they are checked before a VM is made of them.
 */
import { createHash } from "node:crypto";
import { open, readFile, rename, rm, stat, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { type BlazarError, blazarError, type ErrorCode, reasonOf } from "../../../contracts/errors.ts";
import type { TemplateIdentity } from "../../../contracts/vmm.ts";
import { integer, object, optional, record, string } from "../../../protocol/wire/json.ts";
import { memoryFileBytes } from "../spec.ts";
import { sha256 } from "./fingerprints.ts";

/** Memory is read in pieces of this size; those that hold nothing but zeros are left out of its hash. */
const CHUNK_BYTES = 1024 * 1024;

const manifestCheck = object({
  identity: object({ key: string, parts: record(string) }),
  vcpus: integer(1),
  memoryBytes: integer(1),
  nics: integer(0),
  /** Of the memory file's bytes, those that are on the disk. */
  allocatedBytes: integer(0),
  stateBytes: integer(1),
  stateSha256: string,
  /** See {@link hashMemory}. */
  memorySha256: string,
  /** Of the packed disk; undefined = the guest has none. */
  diskSha256: optional(string),
  /** Milliseconds since the epoch. */
  created: integer(0),
});

export type TemplateManifest = ReturnType<typeof manifestCheck> & { readonly identity: TemplateIdentity };

export interface TemplatePaths {
  readonly memory: string;
  readonly state: string;
  /** What is on the disk, packed; every clone unpacks a copy of its own and none ever opens this. */
  readonly disk: string;
  /** The disk itself, while the template is made. */
  readonly image: string;
  readonly manifest: string;
}

export function templatePaths(directory: string): TemplatePaths {
  return {
    memory: join(directory, "memory"),
    state: join(directory, "state"),
    disk: join(directory, "disk"),
    image: join(directory, "disk.raw"),
    manifest: join(directory, "manifest.json"),
  };
}

/** Makes the directory a template. */
export async function writeManifest(directory: string, manifest: TemplateManifest): Promise<void> {
  const { manifest: path } = templatePaths(directory);
  await writeFile(unfinished(path), `${JSON.stringify(manifest, null, 2)}\n`, { mode: 0o600 });
  await rename(unfinished(path), path);
}

/** What a file is called until it is whole. */
export function unfinished(path: string): string {
  return `${path}.new`;
}

/** Throws TemplateNotFound or TemplateBroken. */
export async function readManifest(directory: string): Promise<TemplateManifest> {
  const { manifest } = templatePaths(directory);
  let text: string;
  try {
    text = await readFile(manifest, "utf8");
  } catch (cause) {
    if (!isMissing(cause)) throw templateError("TemplateBroken", directory, reasonOf(cause), cause);
    throw templateError("TemplateNotFound", directory, "there is none", cause);
  }
  try {
    return manifestCheck(JSON.parse(text), "manifest");
  } catch (cause) {
    throw templateError("TemplateBroken", directory, `its manifest is damaged: ${reasonOf(cause)}`, cause);
  }
}

/** Checks sizes and the hashes of state and disk, with `deep` the memory's, too. Throws TemplateNotFound or TemplateBroken. */
export async function checkTemplate(directory: string, deep: boolean): Promise<TemplateManifest> {
  const manifest = await readManifest(directory);
  const { memory, state, disk } = templatePaths(directory);
  try {
    const [memoryStat, bytes] = await Promise.all([stat(memory), readFile(state)]);
    if (memoryStat.size !== memoryFileBytes(manifest.memoryBytes))
      throw damaged("memory", "has another size");
    if (sha256(bytes) !== manifest.stateSha256) throw damaged("state", "has another hash");
    const { diskSha256 } = manifest;
    if (diskSha256 !== undefined && sha256(await readFile(disk)) !== diskSha256)
      throw damaged("disk", "has another hash");
    if (deep && (await hashMemory(memory)) !== manifest.memorySha256) {
      throw damaged("memory", "has another hash");
    }
    return manifest;
  } catch (cause) {
    throw templateError("TemplateBroken", directory, reasonOf(cause), cause);
  }
}

/** Removes what is there of a template, finished or not. */
export async function removeTemplateFiles(directory: string): Promise<void> {
  const paths: string[] = Object.values(templatePaths(directory));
  await Promise.all(
    paths.flatMap((path) => [path, unfinished(path)]).map((path) => rm(path, { force: true })),
  );
}

/** SHA-256 over a sparse file: offset and bytes of each piece that is not all zeros. */
export async function hashMemory(path: string): Promise<string> {
  const zeros = Buffer.alloc(CHUNK_BYTES);
  const buffer = Buffer.alloc(CHUNK_BYTES);
  const hash = createHash("sha256");
  const file = await open(path, "r");
  try {
    for (let offset = 0; ; ) {
      const { bytesRead } = await file.read(buffer, 0, CHUNK_BYTES, offset);
      if (bytesRead === 0) return hash.digest("hex");
      const piece = buffer.subarray(0, bytesRead);
      if (!piece.equals(zeros.subarray(0, bytesRead))) hash.update(`${offset}:`).update(piece);
      offset += bytesRead;
    }
  } finally {
    await file.close();
  }
}

export function templateError(
  code: ErrorCode,
  directory: string,
  reason: string,
  cause?: unknown,
): BlazarError {
  const remedy = code === "TemplateBroken" ? "remove it; another one is built when it is needed" : undefined;
  return blazarError(code, "use the template", reason, { subject: directory, remedy, cause });
}

function damaged(what: string, how: string): Error {
  return new Error(`its ${what} ${how}`);
}

function isMissing(error: unknown): boolean {
  return error instanceof Error && "code" in error && error.code === "ENOENT";
}

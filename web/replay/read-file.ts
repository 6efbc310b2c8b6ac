/**
 * What is in a file: the sandboxes of a journal, of a bundle (a tar, also gzipped), or of `blazar inspect -o json`.
 */
import type { ChartDefinition, SandboxDetail } from "../../src/contracts/inspection.ts";
import { replayJournal } from "../../src/observe/replay/replay.ts";
import { detailsIn } from "../model/checked.ts";
import { isTar, readTar, type TarFile } from "../model/tar.ts";

export interface ReadSandbox {
  readonly detail: SandboxDetail;
  /** By name, as far as the bundle has them. */
  readonly logs: Readonly<Record<string, string>>;
}

const decoder = new TextDecoder();
/** Of one file; `blazar bundle` writes one. */
const MOST_SANDBOXES = 500;

/** @throws Error if there is no sandbox in it */
export async function sandboxesOf(
  bytes: Uint8Array<ArrayBuffer>,
  charts: readonly ChartDefinition[],
): Promise<ReadSandbox[]> {
  const plain = isGzip(bytes) ? await unzipped(bytes) : bytes;
  const found = isTar(plain)
    ? sandboxesInBundle(readTar(plain), charts)
    : sandboxesIn(decoder.decode(plain), charts);
  if (found.length === 0) throw new Error("it is no journal, and no bundle with a sandbox in it");
  return found;
}

/** Logs are in the folder `logs` beside the sandbox's file. */
function sandboxesInBundle(files: readonly TarFile[], charts: readonly ChartDefinition[]): ReadSandbox[] {
  const logsBy = new Map<string, Record<string, string>>();
  const found: ReadSandbox[] = [];
  for (const { name, bytes } of files) {
    if (name.endsWith(".log") || name.endsWith(".txt")) continue;
    const folder = `${name.slice(0, name.lastIndexOf("/") + 1)}logs/`;
    for (const { detail } of sandboxesIn(decoder.decode(bytes), charts)) {
      if (found.length >= MOST_SANDBOXES) throw new Error("it has more sandboxes than a bundle holds");
      // once for each folder: thousands of sandboxes may name the same one
      const logs = logsBy.get(folder) ?? logsIn(files, folder);
      logsBy.set(folder, logs);
      found.push({ detail, logs });
    }
  }
  return found;
}

function logsIn(files: readonly TarFile[], folder: string): Record<string, string> {
  const beside = files.filter((file) => file.name.startsWith(folder) && file.name.endsWith(".log"));
  return Object.fromEntries(
    beside.map((file) => [file.name.slice(folder.length, -".log".length), decoder.decode(file.bytes)]),
  );
}

function sandboxesIn(text: string, charts: readonly ChartDefinition[]): ReadSandbox[] {
  const details = detailsInJson(text) ?? journalIn(text, charts);
  if (details.length > MOST_SANDBOXES) throw new Error("it has more sandboxes than a file may have");
  return details.map((detail) => ({ detail, logs: {} }));
}

/** Undefined: it is not one JSON value. */
function detailsInJson(text: string): SandboxDetail[] | undefined {
  try {
    return detailsIn(JSON.parse(text));
  } catch {
    return undefined;
  }
}

function journalIn(text: string, charts: readonly ChartDefinition[]): SandboxDetail[] {
  const { detail } = replayJournal(text, { charts });
  return detail.summary.id !== "" || detail.history.length > 0 ? [detail] : [];
}

function isGzip(bytes: Uint8Array): boolean {
  return bytes[0] === 0x1f && bytes[1] === 0x8b;
}

/** More is no bundle. */
const MOST_UNZIPPED = 512 << 20;

async function unzipped(bytes: Uint8Array<ArrayBuffer>): Promise<Uint8Array<ArrayBuffer>> {
  const reader = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip")).getReader();
  const pieces: Uint8Array<ArrayBuffer>[] = [];
  let length = 0;
  for (let next = await reader.read(); !next.done; next = await reader.read()) {
    length += next.value.length;
    if (length > MOST_UNZIPPED) throw new Error("it unpacks to more than a bundle holds");
    pieces.push(next.value);
  }
  return new Uint8Array(await new Blob(pieces).arrayBuffer());
}

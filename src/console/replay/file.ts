/**
 * Reads what `blazar replay` plays: a bundle, the JSON of `blazar inspect -o json`, or a sandbox's journal.
 *
 * The file may come from anywhere: its shape is checked, and whoever shows its texts makes them harmless.
 */
import { Readable } from "node:stream";
import { extract } from "tar-stream";
import * as z from "zod/mini";
import { blazarError, reasonOf } from "../../contracts/errors.ts";
import type { SandboxDetail } from "../../contracts/inspection.ts";

/** What is played. */
export type Recording = Pick<SandboxDetail, "history" | "forgotten" | "why"> & {
  readonly summary: Pick<SandboxDetail["summary"], "id" | "pod" | "state" | "createdAt">;
};

/** Larger files are no recordings: a history is bounded, and so is a journal. */
export const MOST_BYTES = 256 * 1024 * 1024;
/** Where a tar says that it is one (POSIX ustar). */
const TAR_MAGIC_AT = 257;
const OPERATION = "read a recording";

const key = z.string();
const entry = z.looseObject({
  id: z.number(),
  kind: z.enum(["call", "transition", "effect", "step", "note"]),
  cause: z.optional(z.number()),
  chart: z.optional(key),
  at: z.number(),
  ms: z.optional(z.number()),
  name: z.string(),
  from: z.optional(z.string()),
  to: z.optional(z.string()),
  error: z.optional(z.string()),
});
const detail = z.looseObject({
  summary: z.looseObject({
    id: z.string(),
    pod: z.looseObject({ name: z.string(), namespace: z.string(), uid: z.string(), attempt: z.number() }),
    state: z.string(),
    createdAt: z.number(),
  }),
  history: z.array(entry),
  forgotten: z.number(),
  why: z.string(),
});

/**
 * @param name of the file, for messages
 * @param readJournal reads a journal's text; undefined if it has no history. Throws InvalidArgument
 */
export async function readRecording(
  name: string,
  bytes: Uint8Array,
  readJournal: (text: string) => Recording | undefined,
): Promise<Recording> {
  if (bytes.length > MOST_BYTES) throw refused(name, "it is too large to be one");
  const inner = isTar(bytes) ? await detailIn(name, bytes) : bytes;
  if (inner === undefined) throw refused(name, "it is a tar without a detail.json");
  const text = new TextDecoder().decode(inner);
  const whole = parsed(text);
  if (whole !== undefined) return checked(name, whole);
  const journal = readJournal(text);
  if (journal === undefined)
    throw refused(name, "it is no bundle, no detail in JSON and no journal with a history");
  return journal;
}

function checked(name: string, value: unknown): Recording {
  const result = z.safeParse(detail, value);
  if (result.success) return result.data as unknown as Recording;
  const where = result.error.issues[0]?.path.join(".") ?? "";
  throw refused(name, where === "" ? "it is no detail of a sandbox" : `${where} is not as it should be`);
}

function parsed(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

function isTar(bytes: Uint8Array): boolean {
  return new TextDecoder().decode(bytes.subarray(TAR_MAGIC_AT, TAR_MAGIC_AT + 5)) === "ustar";
}

async function detailIn(name: string, bytes: Uint8Array): Promise<Uint8Array | undefined> {
  const tar = extract();
  Readable.from([bytes]).pipe(tar);
  let found: Uint8Array | undefined;
  try {
    for await (const file of tar) {
      const parts: Buffer[] = [];
      for await (const part of file) parts.push(part as Buffer);
      if (/(^|\/)detail\.json$/.test(file.header.name)) found ??= Buffer.concat(parts);
    }
  } catch (cause) {
    throw refused(name, `it is a broken tar: ${reasonOf(cause)}`);
  }
  return found;
}

function refused(subject: string, reason: string) {
  return blazarError("InvalidArgument", OPERATION, reason, { subject });
}

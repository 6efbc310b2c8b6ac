/** Opens files that are chosen or dropped, and shows what is in them. */

import { addReplays, knownCharts } from "../data/replays.ts";
import { go } from "../data/route.ts";
import { Store } from "../data/store.ts";
import { announce } from "../parts/announcer.tsx";
import { sandboxesOf } from "./read-file.ts";

/** Why a file could not be read; undefined: it could. */
export const trouble = new Store<string | undefined>(undefined);

/** A bundle has logs in it, but it is no disk image. */
const MOST_BYTES = 256 << 20;

/** Asks for files. */
export function chooseFile(): void {
  const input = document.createElement("input");
  input.type = "file";
  input.multiple = true;
  input.addEventListener("change", () => void openFiles([...(input.files ?? [])]));
  input.click();
}

export async function openFiles(files: readonly File[]): Promise<void> {
  trouble.set(undefined);
  const added: string[] = [];
  for (const file of files) {
    try {
      if (file.size > MOST_BYTES) throw new Error("it is too large for a journal or a bundle");
      const read = await sandboxesOf(new Uint8Array(await file.arrayBuffer()), knownCharts.get());
      added.push(...addReplays(file.name, read));
    } catch (error) {
      trouble.set(`${file.name} cannot be shown: ${error instanceof Error ? error.message : String(error)}`);
    }
  }
  const [only] = added;
  if (only === undefined) return;
  announce(`${added.length} read from ${files.length === 1 ? "the file" : "the files"}`);
  go(added.length === 1 ? { page: "sandbox", id: only } : { page: "fleet" });
}

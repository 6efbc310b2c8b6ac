/**
 * The copy of a journal: what still says something, in a file of its own, for a journal that gets damaged.
 *
 * It is written behind the journal and may lack its last lines; it has no history. Nothing waits for it and nothing fails by
 * it: a copy that could not be written is written anew later. Where its directory is not there, there is none.
 * Who reads a journal mends it by its copy (mended-journal.ts).
 */
import { rm } from "node:fs/promises";
import { basename, dirname, join } from "node:path";
import { JournalFile } from "./journal-file.ts";

/** Beside the journals, so that what damages one file need not damage both. */
export const COPIES = "copies";

/** What the name of a damaged journal has after its own once it was mended. */
export const DAMAGED = ".damaged";

export function copyPath(journal: string): string {
  return join(dirname(journal), COPIES, basename(journal));
}

export class JournalCopy {
  /** It lacks something, or does not exist: it has to be written anew. */
  isBehind = true;
  private readonly file: JournalFile;

  /** @param journal path of the journal's file */
  constructor(private readonly journal: string) {
    this.file = JournalFile.unopened(copyPath(journal));
  }

  /** Adds lines, each with its end. Never rejects. */
  add(lines: readonly string[]): Promise<void> {
    return this.attempt(() => this.file.append(lines));
  }

  /** Writes all of it anew. Never rejects. */
  renew(lines: readonly string[]): Promise<void> {
    return this.attempt(() => this.file.replace(lines));
  }

  async close(): Promise<void> {
    await this.file.close().catch(() => undefined);
  }

  /**
   * Before its journal is: a copy alone would be taken for that of a journal that was lost. With it goes what was damaged of the
   * journal.
   */
  async remove(): Promise<void> {
    await this.close();
    await this.file.remove().catch(() => undefined);
    await rm(`${this.journal}${DAMAGED}`, { recursive: true, force: true }).catch(() => undefined);
  }

  private async attempt(work: () => Promise<void>): Promise<void> {
    try {
      await work();
      this.isBehind = false;
    } catch {
      this.isBehind = true;
    }
  }
}

/**
 * The text of a small file that is needed often and hardly ever changes, such as /etc/resolv.conf.
 *
 * The file is read again when stat(2) shows another file or another time of change. Both calls are synchronous: the file
 * is in the kernel's memory, and trips to a thread would cost more than the calls.
 */
import { readFileSync, statSync } from "node:fs";

/** Returns a function that gives the file's text, or "" if it cannot be read. */
export function keptText(file: string): () => Promise<string> {
  let kept = "";
  let version = "";
  return async () => {
    try {
      const { ino, dev, size, mtimeMs, ctimeMs } = statSync(file);
      const found = [dev, ino, size, mtimeMs, ctimeMs].join();
      if (found !== version) kept = readFileSync(file, "utf8");
      version = found;
      return kept;
    } catch {
      return "";
    }
  };
}

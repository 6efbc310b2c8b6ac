/**
 * A small file of the host's that is asked for again and again and hardly ever changes, such as /etc/resolv.conf.
 *
 * It is read again when stat(2) shows another file or another time of change. Both are done at once: such a file is in
 * memory, and a trip to a thread for each of its four calls costs more than they do.
 */
import { readFileSync, statSync } from "node:fs";

/** How to ask for the file's text; "" if it cannot be read. */
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

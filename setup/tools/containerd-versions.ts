/**
 * Which version of containerd is meant by `2.3`: the newest of that line that the Go module proxy has.
 *
 * Pure. Pre-releases count only where they are asked for by their whole name.
 */
import { blazarError } from "../../src/contracts/errors.ts";

/** A line of versions (`2.3`), one of them (`2.3.4`), or a pre-release of one (`2.4.0-rc.0`). */
const ASKED = /^v?(2\.\d+)(\.\d+(-[0-9A-Za-z.]+)?)?$/;
const REMEDY = "name a line or a version of containerd 2: 2.3, or 2.3.4";

/** What was asked for, without a `v`. @throws BlazarError `InvalidArgument` */
export function readVersion(text: string): { readonly version: string; readonly isExact: boolean } {
  const found = ASKED.exec(text);
  if (found === null)
    throw blazarError("InvalidArgument", "read the version of containerd", "it is none that can be built", {
      subject: text.slice(0, 80),
      remedy: REMEDY,
    });
  return { version: text.replace(/^v/, ""), isExact: found[2] !== undefined };
}

/** The newest release of a line; undefined if there is none. @param versions as the go command lists them: `v2.3.4` */
export function newestOf(line: string, versions: readonly string[]): string | undefined {
  const patches = versions.flatMap((each) => {
    const [, of = "", patch = ""] = /^v?(\d+\.\d+)\.(\d+)$/.exec(each) ?? [];
    return of === line ? [Number(patch)] : [];
  });
  return patches.length === 0 ? undefined : `${line}.${Math.max(...patches)}`;
}

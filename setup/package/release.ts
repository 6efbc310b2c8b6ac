/**
 * What a package is a package of: its version, and the time that all of its files have.
 *
 * The time is the commit's (SOURCE_DATE_EPOCH, reproducible-builds.org), so that two builds of one commit are the same bytes.
 */
import { blazarError } from "../../src/contracts/errors.ts";
import { misuse } from "../../src/contracts/misuse.ts";
import { run } from "../lib/command.ts";
import { repoRoot } from "../lib/paths.ts";
import { productVersion } from "../lib/version.ts";

export interface Release {
  readonly version: string;
  /** Seconds since 1970. */
  readonly epoch: number;
}

/** deb-version(7), without an epoch and a revision. */
const VERSION = /^\d+(\.\d+)*([~+][A-Za-z0-9.~+]+)?$/;

/** @param version default: package.json's. @throws BlazarError that says what to set */
export async function readRelease(version = productVersion()): Promise<Release> {
  if (!VERSION.test(version))
    throw misuse(`"${version}" is not a version such as 0.2.0`, { subject: "--version" });
  return { version, epoch: await sourceDate() };
}

async function sourceDate(): Promise<number> {
  const given = process.env["SOURCE_DATE_EPOCH"];
  const text = given ?? (await commitTime());
  const epoch = Number(text);
  if (Number.isSafeInteger(epoch) && epoch > 0) return epoch;
  throw misuse(`"${text}" is not a number of seconds`, { subject: "SOURCE_DATE_EPOCH" });
}

async function commitTime(): Promise<string> {
  try {
    return (await run("git", ["-C", repoRoot(), "log", "-1", "--format=%ct"])).trim();
  } catch (cause) {
    throw blazarError("DependencyMissing", "find the time of the commit", "git does not tell it here", {
      remedy:
        "build in a git checkout, or set SOURCE_DATE_EPOCH to the seconds since 1970 that files shall have",
      cause,
    });
  }
}

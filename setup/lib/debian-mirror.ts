/**
 * Finds the Debian mirror of this machine in its apt sources (sources.list(5): one-line and deb822 format).
 *
 * Set-up fetches packages of other Debian releases from the mirror that the machine uses itself. So proxies and local
 * mirrors go on working. Only if the sources name no mirror, Debian's public one is used.
 */
import { readdir, readFile } from "node:fs/promises";
import path from "node:path";

/** A mirror and the keyring that signs it. */
export interface DebianMirror {
  readonly uri: string;
  /** A keyring file, or undefined for apt's trusted ones. */
  readonly signedBy: string | undefined;
}

interface Source extends DebianMirror {
  readonly suites: readonly string[];
}

/** Debian's own content network, for machines whose sources name no Debian archive. */
const PUBLIC_MIRROR = "http://deb.debian.org/debian";

/** Suites that tell a Debian archive from other repositories; `*-security` lives on another host path. */
const DEBIAN_SUITES = /^(stable|testing|unstable|sid|bookworm|trixie|forky|duke)$/;

/** Keyrings that Debian's own package installs, newest naming first. */
const DEBIAN_KEYRINGS: readonly string[] = [
  "/usr/share/keyrings/debian-archive-keyring.pgp",
  "/usr/share/keyrings/debian-archive-keyring.gpg",
];

/** Finds the mirror in apt's configuration directory; `exists` says whether a keyring file is there. */
export async function findMirror(
  aptDirectory: string,
  exists: (file: string) => boolean,
): Promise<DebianMirror> {
  const sources = (await readSources(aptDirectory)).filter((source) =>
    source.suites.some((suite) => DEBIAN_SUITES.test(suite)),
  );
  // Debian's keyring has every release's keys; the source's own may be for one release only
  const keyring = DEBIAN_KEYRINGS.find(exists);
  const source = sources[0];
  if (source === undefined) return { uri: PUBLIC_MIRROR, signedBy: keyring };
  const named = source.signedBy !== undefined && exists(source.signedBy) ? source.signedBy : undefined;
  return { uri: source.uri, signedBy: keyring ?? named };
}

async function readSources(aptDirectory: string): Promise<Source[]> {
  const directory = path.join(aptDirectory, "sources.list.d");
  const names = await readdir(directory).catch(() => []);
  const files = [
    path.join(aptDirectory, "sources.list"),
    ...names.sort().map((name) => path.join(directory, name)),
  ];
  const found: Source[] = [];
  for (const file of files) {
    const text = await readFile(file, "utf8").catch(() => "");
    if (file.endsWith(".list")) found.push(...parseOneLine(text));
    if (file.endsWith(".sources")) found.push(...parseDeb822(text));
  }
  return found;
}

/** One-line format: `deb [signed-by=/k.gpg arch=amd64] http://host/debian bookworm main contrib`. */
function parseOneLine(text: string): Source[] {
  const found: Source[] = [];
  for (const line of text.split("\n")) {
    const match = /^\s*deb\s+(?:\[([^\]]*)\]\s+)?(\S+)\s+(\S+)\s+\S/.exec(line);
    if (match === null) continue;
    const [, options = "", uri = "", suite = ""] = match;
    found.push({ uri: trimSlash(uri), suites: [suite], signedBy: /signed-by=(\/\S+)/i.exec(options)?.[1] });
  }
  return found;
}

/** deb822 format: stanzas of fields separated by empty lines. */
function parseDeb822(text: string): Source[] {
  const found: Source[] = [];
  const withoutComments = text.replace(/^#.*\n?/gm, "");
  for (const stanza of withoutComments.split(/\n\s*\n/)) {
    const fields = new Map<string, string>();
    for (const match of stanza.matchAll(/^([A-Za-z-]+):[ \t]*(.*(?:\n[ \t]+.*)*)/gm)) {
      fields.set((match[1] ?? "").toLowerCase(), (match[2] ?? "").replace(/\s+/g, " ").trim());
    }
    const words = (name: string): string[] =>
      (fields.get(name) ?? "").split(" ").filter((word) => word !== "");
    if (!words("types").includes("deb") || fields.get("enabled")?.toLowerCase() === "no") continue;
    const [uri] = words("uris");
    if (uri === undefined) continue;
    const signedBy = fields.get("signed-by");
    found.push({
      uri: trimSlash(uri),
      suites: words("suites"),
      signedBy: signedBy?.startsWith("/") === true ? signedBy : undefined,
    });
  }
  return found;
}

function trimSlash(uri: string): string {
  return uri.replace(/\/+$/, "");
}

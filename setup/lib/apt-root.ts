/**
 * A private APT root: packages of another Debian release, fetched and verified by apt (apt.conf(5), apt-get(8)).
 *
 * It has its own state, cache and sources, so the machine's package lists stay as they are. Transport settings (proxies,
 * validity checks, credentials) are the machine's. Nothing is installed; must never run dpkg.
 */
import { existsSync } from "node:fs";
import { mkdir, readdir, writeFile } from "node:fs/promises";
import path from "node:path";
import { blazarError } from "../../src/contracts/errors.ts";
import { run } from "./command.ts";
import { findMirror } from "./debian-mirror.ts";

const REMEDY =
  "check that this machine's apt sources reach a Debian mirror (try: apt-get update), then run again; finished steps are kept";

/** A release's packages, seen through apt. */
export class AptRoot {
  private constructor(
    private readonly environment: Readonly<Record<string, string>>,
    private readonly suite: string,
  ) {}

  /**
   * Makes the root in `directory` (kept: its lists make the next update cheap) and updates its lists.
   * @param suite a Debian release by code name, never by `stable`: code names do not move
   * @param type `deb` for packages, `deb-src` for sources
   */
  static async open(directory: string, suite: string, type: "deb" | "deb-src"): Promise<AptRoot> {
    const folders = ["state/lists/partial", "cache/archives/partial", "parts"];
    for (const folder of folders) await mkdir(path.join(directory, folder), { recursive: true });
    const mirror = await findMirror("/etc/apt", existsSync);
    const signed = mirror.signedBy === undefined ? "" : ` signed-by=${mirror.signedBy}`;
    const sources = `${type} [arch=amd64${signed}] ${mirror.uri} ${suite} main\n`;
    await writeFile(path.join(directory, "sources.list"), sources);
    await writeFile(path.join(directory, "status"), "");
    const transport = acquireSettings(await run("apt-config", ["dump"]));
    await writeFile(path.join(directory, "apt.conf"), configuration(directory, transport));
    const root = new AptRoot({ APT_CONFIG: path.join(directory, "apt.conf"), LC_ALL: "C" }, suite);
    // without Error-Mode a mirror that cannot be reached is a mere warning
    await root.apt("apt-get", ["update", "-q", "-o", "APT::Update::Error-Mode=any"]);
    return root;
  }

  /** The newest version of a package in this release. */
  async version(name: string): Promise<string> {
    const text = await this.apt("apt-cache", ["show", "--no-all-versions", name]);
    return field(text, "Version") ?? this.missing(name, "Version");
  }

  /** The names a package depends on, alternatives and versions left out. */
  async dependencies(name: string): Promise<string[]> {
    const text = await this.apt("apt-cache", ["show", "--no-all-versions", name]);
    const depends = field(text, "Depends") ?? "";
    return depends.split(",").flatMap((one) => /^\s*([a-z0-9.+-]+)/.exec(one)?.[1] ?? []);
  }

  /** Downloads a package's .deb into a directory and returns its path. */
  async download(name: string, directory: string): Promise<string> {
    await this.apt("apt-get", ["download", "-q", name], directory);
    const file = (await readdir(directory)).find((one) => one.startsWith(`${name}_`) && one.endsWith(".deb"));
    return file === undefined ? this.missing(name, ".deb") : path.join(directory, file);
  }

  /**
   * Downloads packages and all that they depend on into a directory, recommendations left out; returns the .deb files.
   * Nothing counts as installed, so the files are a whole system's.
   */
  async downloadAll(names: readonly string[], directory: string): Promise<string[]> {
    await mkdir(path.join(directory, "partial"), { recursive: true });
    const options = ["-q", "-y", "--download-only", "--no-install-recommends"];
    await this.apt("apt-get", ["install", ...options, "-o", `Dir::Cache::archives=${directory}`, ...names]);
    const files = (await readdir(directory)).filter((one) => one.endsWith(".deb"));
    return files.length === 0
      ? this.missing(names.join(" "), ".deb")
      : files.sort().map((one) => path.join(directory, one));
  }

  /** Downloads a source package's files (.dsc, tarballs) into a directory, unpacking nothing. */
  async downloadSource(name: string, version: string, directory: string): Promise<void> {
    await this.apt("apt-get", ["source", "-q", "--download-only", `${name}=${version}`], directory);
  }

  /** The same of the release's newest version. */
  async downloadNewestSource(name: string, directory: string): Promise<void> {
    await this.apt("apt-get", ["source", "-q", "--download-only", name], directory);
  }

  private apt(command: string, args: readonly string[], cwd?: string): Promise<string> {
    return run(command, args, {
      env: this.environment,
      remedy: REMEDY,
      ...(cwd === undefined ? {} : { cwd }),
    });
  }

  private missing(name: string, what: string): never {
    throw blazarError("DependencyMissing", `find ${name} in Debian ${this.suite}`, "apt did not deliver it", {
      subject: what,
      remedy: REMEDY,
    });
  }
}

/** The machine's transport settings out of `apt-config dump`; what indexes to fetch is the private root's own. */
export function acquireSettings(dump: string): string[] {
  return dump.split("\n").filter((line) => {
    return /^Acquire::/.test(line) && !/^Acquire::(IndexTargets|Languages|GzipIndexes|PDiffs)/i.test(line);
  });
}

function configuration(directory: string, transport: readonly string[]): string {
  const at = (name: string): string => JSON.stringify(path.join(directory, name));
  return [
    ...transport,
    `Dir::State ${at("state")};`,
    `Dir::State::status ${at("status")};`,
    `Dir::Cache ${at("cache")};`,
    // building apt's binary cache on disk costs more than it saves for three questions
    'Dir::Cache::pkgcache "";',
    'Dir::Cache::srcpkgcache "";',
    `Dir::Etc::sourcelist ${at("sources.list")};`,
    `Dir::Etc::sourceparts ${at("parts")};`,
    `Dir::Etc::parts ${at("parts")};`,
    'Dir::Etc::main "/dev/null";',
    'Dir::Etc::preferences "/dev/null";',
    `Dir::Etc::preferencesparts ${at("parts")};`,
    'APT::Architecture "amd64";',
    'APT::Architectures { "amd64"; };',
    // the cache is the user's: the _apt user could not write there
    'APT::Sandbox::User "root";',
    'Acquire::Languages "none";',
    'Acquire::GzipIndexes "true";',
    "",
  ].join("\n");
}

function field(text: string, name: string): string | undefined {
  return new RegExp(`^${name}: (.*)$`, "m").exec(text)?.[1];
}

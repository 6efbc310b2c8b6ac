/**
 * Checks containerd: it answers, is new enough, and its configuration has the sandboxer and a runtime for it.
 */
import { controllerSocket } from "../../daemon/state-directories.ts";
import { type Check, type Finding, fault, ok } from "./check.ts";
import { asTable, at, type ContainerdFile, containerdFiles } from "./containerd-files.ts";

const NAME = "containerd";
const REMEDY =
  "`blazar install` writes a drop-in for it (or merge deploy/containerd.toml into it); then restart containerd";
/** Where CRI's runtimes are, by the version of the file. */
const RUNTIMES: Readonly<Record<number, readonly string[]>> = {
  2: ["plugins", "io.containerd.grpc.v1.cri", "containerd", "runtimes"],
  3: ["plugins", "io.containerd.cri.v1.runtime", "containerd", "runtimes"],
};
const CRI = ["cri", "io.containerd.grpc.v1.cri", "io.containerd.cri.v1.runtime"];
/** The first whose sandbox API does. */
const LEAST = [2, 1] as const;

export const containerd: Check = async ({ host, config, containerdConfig }) => {
  const findings: Finding[] = [];
  const socket = config.daemon.containerd_socket;
  if (!(await host.answers(socket)))
    findings.push(fault(NAME, `does not answer on ${socket}`, "start it, or set daemon.containerd_socket"));
  findings.push(...versionFindings(await host.versionOf("containerd")));
  const files = await containerdFiles(host, containerdConfig);
  if (typeof files === "string") return [...findings, fault(NAME, files, correction(files))];
  findings.push(...(await configured(files, containerdConfig, { host, config })));
  return findings.length > 0 ? findings : [ok(NAME, `answers, and ${containerdConfig} names blazar`)];
};

function correction(problem: string): string {
  return problem.includes("TOML") ? "correct it" : REMEDY;
}

/** A containerd that is not in PATH says nothing. @param said `containerd github.com/containerd/containerd/v2 2.1.9 …` */
function versionFindings(said: string | undefined): Finding[] {
  const [version, major, minor] = /\bv?(\d+)\.(\d+)\.\S*/.exec(said ?? "") ?? [];
  if (version === undefined) return [];
  const [leastMajor, leastMinor] = LEAST;
  if (Number(major) > leastMajor || (Number(major) === leastMajor && Number(minor) >= leastMinor)) return [];
  const remedy = "install 2.1 or later: Debian 14 has it, others take it from there (docs/install.md)";
  return [fault(NAME, `${version} has no sandbox API for pods`, remedy)];
}

async function configured(
  files: readonly ContainerdFile[],
  main: string,
  { host, config }: Pick<Parameters<Check>[0], "host" | "config">,
): Promise<Finding[]> {
  const version = Math.max(...files.map((file) => file.version));
  const older = files.find((file) => file.version < version && "plugins" in file.tables);
  if (older !== undefined)
    return [
      fault(NAME, `${older.path} is of version ${older.version}, and another file of ${version}`, REMEDY),
    ];
  const runtimePath = RUNTIMES[version];
  if (runtimePath === undefined)
    return [fault(NAME, `${main} is of version ${version}`, "write it as version 3")];
  const disabled = files.find(({ tables }) =>
    names(tables["disabled_plugins"]).some((each) => CRI.includes(each)),
  );
  if (disabled !== undefined)
    return [fault(NAME, `${disabled.path} turns CRI off`, "take cri out of its disabled_plugins")];
  const wanted = controllerSocket(config);
  const sandboxers = files
    .flatMap(({ tables }) => Object.entries(asTable(tables["proxy_plugins"])))
    .filter(([, plugin]) => at(plugin, ["type"]) === "sandbox");
  const ours = sandboxers.find(([, plugin]) => at(plugin, ["address"]) === wanted);
  if (ours === undefined) {
    const others = sandboxers.map(([, plugin]) => String(at(plugin, ["address"]))).join(", ");
    const found = others === "" ? "no sandboxer" : `the sandboxer ${others}`;
    return [fault(NAME, `${main} names ${found}, and the daemon's socket is ${wanted}`, REMEDY)];
  }
  const runtime = files
    .flatMap(({ tables }) => Object.values(asTable(at(tables, runtimePath))))
    .find((each) => at(each, ["sandboxer"]) === ours[0]);
  if (runtime === undefined)
    return [fault(NAME, `${main} has no runtime with sandboxer = '${ours[0]}'`, REMEDY)];
  const shim = at(runtime, ["runtime_path"]);
  if (typeof shim === "string" && !(await host.may(shim, "execute")))
    return [fault(NAME, `there is no program ${shim}`, "put deploy/containerd-shim-blazar-v1 there")];
  return [];
}

function names(value: unknown): string[] {
  return Array.isArray(value) ? value.filter((each) => typeof each === "string") : [];
}

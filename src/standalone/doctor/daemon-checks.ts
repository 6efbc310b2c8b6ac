/**
 * Checks of the daemon and its neighbours: parts, keeper, the daemon itself, containerd, and what an earlier daemon has left.
 */
import { join } from "node:path";
import { parse } from "smol-toml";
import { reasonOf } from "../../contracts/errors.ts";
import type { Config } from "../../daemon/config/schema.ts";
import { controllerSocket, taskSocketOf } from "../../daemon/state-directories.ts";
import { type Check, type Finding, fault, note, ok } from "./check.ts";
import type { Holder } from "./holder.ts";
import { journalFindings, reconciliationFindings } from "./leftovers.ts";

/** States of a process that a signal or a debugger has stopped: proc_pid_stat(5). */
const STOPPED = ["T", "t"];
const RENEW = "give the key the value that the keeper was started with; or blazar drain, then restart both";

export const DAEMON_CHECKS: Readonly<Record<string, Check>> = {
  parts: ({ parts }) =>
    parts instanceof Error
      ? [fault("parts", parts.message, "run `npm run setup`, or set the key that is named")]
      : [ok("parts", "kernel, initramfs, keeper, file server and empty layer are there")],
  keeper: async ({ host, config, daemon, keeper }) => {
    const socket = keeperSocket(config);
    if (!(await host.answers(socket))) {
      if (config.keeper.start && daemon === undefined)
        return [note("keeper", "it is started with the daemon")];
      return [fault("keeper", `does not answer on ${socket}`, "systemctl start blazar-keeper")];
    }
    // the kernel takes connections for a process that does not run
    const process = await keeper();
    if (process !== undefined && isStopped(process)) return [stopped("keeper", process)];
    const task = taskSocketOf(config);
    if (!(await host.answers(task)))
      return [fault("keeper", `does not serve ${task} (daemon.task_socket): no pod can be started`, RENEW)];
    return [ok("keeper", `answers on ${socket}`)];
  },
  daemon: ({ config, daemon, holder }) => {
    if (daemon === undefined) return [silentDaemon(config, holder)];
    const { node } = daemon;
    const findings = [
      ...node.troubles.map((text) => fault("daemon", text, "see the daemon's log")),
      ...node.shortages.map((text) => note("daemon", text)),
    ];
    if (node.stuck > 0)
      findings.push(
        fault(
          "daemon",
          node.stuck === 1 ? "1 sandbox is stuck" : `${node.stuck} sandboxes are stuck`,
          "blazar ps, then blazar why",
        ),
      );
    return [
      ok("daemon", `${node.version} runs as ${node.pid}, ${node.vmm}, ${node.acceleration}`),
      ...findings,
    ];
  },
  containerd,
  leftovers,
};

/** The keeper's control socket. */
export function keeperSocket({ keeper, daemon }: Config): string {
  return keeper.socket ?? join(daemon.state_directory, "keeper.sock");
}

function isStopped({ state }: Holder): boolean {
  return STOPPED.includes(state);
}

function stopped(name: string, { pid, state }: Holder): Finding {
  return fault(name, `process ${pid} is stopped by a signal (state ${state})`, `kill -CONT ${pid}`);
}

/** Why no daemon answers, as far as its process tells. */
function silentDaemon({ inspection }: Config, holder: Holder | undefined): Finding {
  const name = "daemon";
  if (holder === undefined)
    return fault(name, "does not run", "systemctl start blazar; see journalctl -u blazar");
  if (isStopped(holder)) return stopped(name, holder);
  const { pid } = holder;
  if (!inspection.enabled) return note(name, `runs as ${pid}; without inspection it cannot be asked`);
  const restart = "see its log; systemctl restart blazar lets it make its sockets anew, and pods run on";
  return fault(name, `process ${pid} has the state directory and does not answer`, restart);
}

async function containerd({
  host,
  config,
  containerdConfig: file,
}: Parameters<Check>[0]): Promise<Finding[]> {
  const name = "containerd";
  const findings: Finding[] = [];
  const socket = config.daemon.containerd_socket;
  if (!(await host.answers(socket)))
    findings.push(fault(name, `does not answer on ${socket}`, "start it, or set daemon.containerd_socket"));
  const text = await host.read(file);
  const remedy = "merge deploy/containerd.toml into it and restart containerd";
  if (text === undefined) return [...findings, fault(name, `${file} cannot be read`, remedy)];
  let parsed: unknown;
  try {
    parsed = parse(text);
  } catch (error) {
    return [...findings, fault(name, `${file} is not TOML: ${reasonOf(error).split("\n")[0]}`, "correct it")];
  }
  findings.push(...(await configured(parsed, file, remedy, { host, config })));
  return findings.length > 0 ? findings : [ok(name, `answers, and ${file} names blazar`)];
}

async function configured(
  parsed: unknown,
  file: string,
  remedy: string,
  { host, config }: Pick<Parameters<Check>[0], "host" | "config">,
): Promise<Finding[]> {
  const name = "containerd";
  const findings: Finding[] = [];
  if (at(parsed, ["version"]) !== 3) findings.push(fault(name, `${file} is not of version 3`, remedy));
  const wanted = controllerSocket(config);
  const plugins = Object.entries(asTable(at(parsed, ["proxy_plugins"])));
  const sandboxers = plugins.filter(([, plugin]) => at(plugin, ["type"]) === "sandbox");
  const ours = sandboxers.find(([, plugin]) => at(plugin, ["address"]) === wanted);
  if (ours === undefined) {
    const others = sandboxers.map(([, plugin]) => String(at(plugin, ["address"]))).join(", ");
    const found = others === "" ? "no sandboxer" : `the sandboxer ${others}`;
    return [...findings, fault(name, `${file} names ${found}, and the daemon's socket is ${wanted}`, remedy)];
  }
  const runtimes = asTable(at(parsed, ["plugins", "io.containerd.cri.v1.runtime", "containerd", "runtimes"]));
  const runtime = Object.values(runtimes).find((each) => at(each, ["sandboxer"]) === ours[0]);
  if (runtime === undefined)
    return [...findings, fault(name, `${file} has no runtime with sandboxer = '${ours[0]}'`, remedy)];
  const shim = at(runtime, ["runtime_path"]);
  if (typeof shim === "string" && !(await host.may(shim, "execute")))
    findings.push(fault(name, `there is no program ${shim}`, "put deploy/containerd-shim-blazar-v1 there"));
  return findings;
}

/** What nobody holds, or nobody will hold. */
async function leftovers(subject: Parameters<Check>[0]): Promise<Finding[]> {
  const { host, config, daemon, holder, reconciled } = subject;
  // what it holds, and what it is making, is known to nobody else
  if (holder !== undefined)
    return [note("leftovers", `only the daemon (process ${holder.pid}) can tell, and it does not answer`)];
  const journals = daemon === undefined ? await journalFindings(host, config.daemon.state_directory) : [];
  const found = await reconciled();
  const findings = reconciliationFindings(found, daemon !== undefined);
  return journals.length > 0
    ? [...journals, ...findings.filter(({ verdict }) => verdict !== "ok")]
    : findings;
}

function at(value: unknown, path: readonly string[]): unknown {
  return path.reduce<unknown>((inner, key) => asTable(inner)[key], value);
}

function asTable(value: unknown): Record<string, unknown> {
  return typeof value === "object" && value !== null ? (value as Record<string, unknown>) : {};
}

/**
 * Checks of the daemon and its neighbours: parts, keeper, the daemon itself, containerd, and what an earlier daemon has left.
 */
import { join } from "node:path";
import type { Config } from "../../daemon/config/schema.ts";
import { taskSocketOf } from "../../daemon/state-directories.ts";
import { type Check, type Finding, fault, note, ok } from "./check.ts";
import { containerd } from "./containerd-check.ts";
import type { Holder } from "./holder.ts";
import { journalFindings, reconciliationFindings } from "./leftovers.ts";

/** States of a process that a signal or a debugger has stopped: proc_pid_stat(5). */
const STOPPED = ["T", "t"];
const RENEW = "give the key the value that the keeper was started with; or blazar drain, then restart both";

export const DAEMON_CHECKS = {
  parts: ({ parts }) =>
    parts instanceof Error
      ? [fault("parts", parts.message, "install the package anew, or set the key that is named")]
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
} satisfies Readonly<Record<string, Check>>;

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

/**
 * Examines the node: what `blazar doctor` prints and `blazar bundle` takes along. Changes nothing, unless it is told to fix.
 */
import { reasonOf } from "../contracts/errors.ts";
import { loadConfig } from "../daemon/config/load.ts";
import type { Config } from "../daemon/config/schema.ts";
import { packageConfig } from "../daemon/parts/manifest.ts";
import { locateParts } from "../daemon/parts/parts.ts";
import { InspectionClient } from "../rpc/inspection/client.ts";
import { type Check, type Finding, fault, ok, runChecks, type Subject } from "../standalone/doctor/check.ts";
import { DAEMON_CHECKS, keeperSocket } from "../standalone/doctor/daemon-checks.ts";
import { holderOf, processNaming } from "../standalone/doctor/holder.ts";
import { HOST_CHECKS } from "../standalone/doctor/host-checks.ts";
import { NODE_HOST } from "../standalone/doctor/node-host.ts";
import { reconcileWithoutDaemon } from "../standalone/doctor/without-daemon.ts";
import { type DaemonOptions, daemonSocket } from "./daemon-socket.ts";

export interface ExamineOptions extends DaemonOptions {
  /** What nobody holds is removed. */
  readonly fix?: boolean;
  readonly containerdConfig?: string;
}

export const CONTAINERD_CONFIG = "/etc/containerd/config.toml";

/** All of it: the node, the daemon, and what is left of sandboxes. */
export function examine(options: ExamineOptions): Promise<Finding[]> {
  return examineBy({ ...DAEMON_CHECKS, ...HOST_CHECKS }, options);
}

/** What a node needs before Blazar is started on it. */
export function lacking(options: ExamineOptions): Promise<Finding[]> {
  const { parts, containerd } = DAEMON_CHECKS;
  return examineBy({ parts, containerd, ...HOST_CHECKS }, options);
}

async function examineBy(
  checks: Readonly<Record<string, Check>>,
  options: ExamineOptions,
): Promise<Finding[]> {
  const name = "configuration";
  let config: Config;
  try {
    config = await loadConfig(options.config);
  } catch (error) {
    return [fault(name, reasonOf(error), "correct it; docs/configuration.md has every key")];
  }
  const parts = await locateParts(config).catch((error: unknown) =>
    error instanceof Error ? error : new Error(reasonOf(error)),
  );
  const client = new InspectionClient(await daemonSocket(options, process.env, config));
  try {
    const daemon = await runningDaemon(client);
    const fix = options.fix === true;
    const holder = daemon === undefined ? await holderOf(config.daemon.state_directory) : undefined;
    const subject: Subject = {
      ...{ host: NODE_HOST, config, parts, daemon, holder },
      keeper: () => processNaming(["--control", keeperSocket(config)]),
      containerdConfig: options.containerdConfig ?? CONTAINERD_CONFIG,
      reconciled: () => (daemon === undefined ? reconcileWithoutDaemon(config, fix) : client.reconcile(fix)),
    };
    const valid = ok(name, options.config ?? packageConfig() ?? "defaults");
    return [valid, ...(await runChecks(checks, subject))];
  } finally {
    client.close();
  }
}

async function runningDaemon(client: InspectionClient): Promise<Subject["daemon"]> {
  try {
    const [node, sandboxes] = await Promise.all([client.node(), client.list()]);
    return { node, sandboxIds: sandboxes.map(({ id }) => id) };
  } catch {
    return undefined;
  }
}

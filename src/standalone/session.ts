/**
 * The surroundings of a standalone run: a temporary directory, a keeper of its own in it, and the actors.
 *
 * Everything that a session makes is in the directory or is a child of the keeper. {@link Session.close} removes all
 * of it, in any state, and is the only method that has to be called.
 */
import { randomBytes } from "node:crypto";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Keeper } from "../contracts/keeper.ts";
import type { Logger } from "../contracts/logger.ts";
import type { Cgroups } from "../contracts/storage.ts";
import type { TaskEvents } from "../contracts/task.ts";
import { parseConfig } from "../daemon/config/load.ts";
import type { Config } from "../daemon/config/schema.ts";
import { type Core, type CoreOptions, wireCore } from "../daemon/core.ts";
import { locateParts, type Parts } from "../daemon/parts/parts.ts";
import { makeStateDirectories } from "../daemon/state-directories.ts";
import { connectKeeper } from "../host/keeper/client.ts";
import { startKeeper } from "../host/keeper/process.ts";
import { claim, sweepAbandoned } from "./abandoned.ts";
import type { Machine } from "./machine.ts";

/** Longest directory whose sockets' paths still fit into sockaddr_un (107 characters). */
const LONGEST_TEMPORARY_PATH = 40;

const PREFIX = "blazar-run-";

/** No cgroups: only root may make them. */
const noCgroups: Cgroups = {
  memoryLimit: () => undefined,
  limitsOf: () => ({ memory: false, cpu: false }),
  killedForMemory: () => undefined,
  plan: () => Promise.resolve({ directories: [], procs: [] }),
  make: () => Promise.resolve(),
  enter: () => Promise.resolve(),
  limitCpu: () => Promise.resolve(),
  usage: () => Promise.resolve({}),
  remove: () => Promise.resolve(),
};

const noEvents: TaskEvents = { publish: () => undefined };

/** A run's surroundings before anything runs in them. */
export class Session {
  private keeper: Keeper | undefined;
  private core: Core | undefined;

  private constructor(
    readonly directory: string,
    readonly config: Config,
    readonly parts: Parts,
    private readonly logger: Logger,
  ) {}

  /**
   * Makes the directory. All is as in `config`, but for the directories and what `machine` says.
   * Throws DependencyMissing naming what set-up has not built.
   */
  static async open(
    machine: Machine,
    logger: Logger,
    config: Config = parseConfig("", "(defaults)"),
  ): Promise<Session> {
    const parts = await locateParts(config);
    const temporary = temporaryDirectory();
    await sweepAbandoned(temporary, PREFIX, logger);
    const directory = await mkdtemp(join(temporary, PREFIX));
    const session = new Session(directory, privateConfig(config, machine, directory), parts, logger);
    try {
      await claim(directory);
      await makeStateDirectories(session.config);
      return session;
    } catch (error) {
      await session.close();
      throw error;
    }
  }

  /** Starts a keeper and puts the actors on it. */
  async start(ports: Pick<CoreOptions, "stdio" | "rootfs">): Promise<Core> {
    const { directory, logger, config, parts } = this;
    const control = join(directory, "keeper.sock");
    const log = logger.child({ component: "keeper" });
    await startKeeper({ binary: parts.keeper, control, task: join(directory, "task.sock"), log });
    this.keeper = await connectKeeper({ control, log });
    const { keeper } = this;
    this.core = wireCore({ config, parts, logger, keeper, events: noEvents, cgroups: noCgroups, ...ports });
    return this.core;
  }

  /** Ends the VM and the keeper and removes the directory. Each step is tried, whatever failed before; never rejects. */
  async close(): Promise<void> {
    const { core, keeper, directory } = this;
    await this.attempt("end the sandbox", () => core?.sandboxes.drain());
    await this.attempt("end the workers", () => core?.close());
    await this.attempt("end the keeper", () => keeper && endKeeper(keeper));
    await this.attempt("remove the run's directory", () => rm(directory, { recursive: true, force: true }));
    this.core = undefined;
    this.keeper = undefined;
  }

  private async attempt(step: string, work: () => Promise<unknown> | undefined): Promise<void> {
    try {
      await work();
    } catch (error) {
      this.logger.error({ err: error, directory: this.directory }, `could not ${step}`);
    }
  }
}

/** A keeper with living children refuses to end: they are killed first, by the pids that it knows, then the keeper. */
async function endKeeper(keeper: Keeper): Promise<void> {
  const { pid } = keeper;
  try {
    await keeper.shutdown();
  } catch (error) {
    for (const { identity, exit } of keeper.inventory().processes)
      if (exit === undefined) process.kill(identity.pid, "SIGKILL");
    process.kill(pid, "SIGKILL");
    throw error;
  } finally {
    await keeper.close();
  }
}

function temporaryDirectory(): string {
  const named = tmpdir();
  return named.length > LONGEST_TEMPORARY_PATH ? "/tmp" : named;
}

function privateConfig(defaults: Config, machine: Machine, directory: string): Config {
  const { vcpus = defaults.vmm.vcpus, memory = defaults.vmm.memory } = machine;
  return {
    ...defaults,
    vmm: { ...defaults.vmm, vcpus, memory },
    daemon: { ...defaults.daemon, state_directory: directory },
    storage: { ...defaults.storage, scratch_directory: join(directory, "scratch") },
  };
}

/** The sandbox's id. It is in the VMM's arguments, where people see it in ps(1). */
export function runId(): string {
  return `run-${randomBytes(3).toString("hex")}`;
}

/**
 * Makes the records of containers and processes: new ones by what containerd asks for, those that an earlier daemon has left by
 * its facts. Owns task pids and what is told once.
 */
import type { TranslatedContainer } from "../../backends/backend.ts";
import type { Deadlines } from "../../contracts/deadlines.ts";
import { blazarError } from "../../contracts/errors.ts";
import type { TaskCreateRequest, TaskExecRequest } from "../../contracts/task.ts";
import type { GuestProcess } from "../../protocol/guest/messages.ts";
import type { KnownContainer, KnownProcessFact } from "../resources/known-sandbox.ts";
import { Container, type ContainerHome, type ContainerObserver } from "./container.actor.ts";
import type { ContainerRegistry } from "./container-registry.ts";
import { Inside } from "./inside.ts";
import { ProcessRecord } from "./process-record.ts";

/** Task pids start beyond PID_MAX_LIMIT of 64-bit Linux (2^22), so that none is ever a host process. */
const FIRST_TASK_PID = 4_194_304 + 1;

/** Reads OCI specs (opencontainers/runtime-spec). Throws InvalidSpec, UnsupportedSpec. */
export interface SpecTranslator {
  container(spec: unknown): TranslatedContainer;
  resources(resources: unknown): {
    readonly cgroup: Readonly<Record<string, string>>;
    readonly warnings: readonly string[];
  };
  process(process: unknown): {
    readonly process: GuestProcess;
    readonly warnings: readonly string[];
    readonly notices: readonly string[];
  };
}

export interface ContainerMakerPorts {
  readonly containers: ContainerRegistry;
  readonly specs: SpecTranslator;
  readonly deadlines: Pick<Deadlines, "containerEnd" | "outputDrain" | "guestKill" | "guestSignal">;
  /** Milliseconds since the epoch. */
  readonly now: () => number;
}

export class ContainerMaker {
  private nextPid = FIRST_TASK_PID;
  private readonly told = new Set<string>();

  constructor(
    private readonly ports: ContainerMakerPorts,
    private readonly observer: ContainerObserver,
  ) {}

  /** One that containerd asks for. Throws what its spec asks for and cannot have. */
  make(home: ContainerHome, request: TaskCreateRequest): Container {
    const { id, bundle, namespace, terminal, rootfs: mounts } = request;
    const translated = this.ports.specs.container(request.spec);
    const pidTarget = translated.pidTarget === undefined ? "" : this.containerOfPid(translated.pidTarget);
    const pid = this.nextPid++;
    const paths = pathsOf(request);
    const init = new ProcessRecord({ execId: "", pid, paths, terminal, process: undefined });
    const shortId = `d${pid.toString(36)}`;
    const inside = home.backend.container({ id, shortId, mounts, translated, pidTarget, paths, terminal });
    const container = this.container({ home, id, bundle, namespace, init, inside: Inside.of(inside) });
    this.warn(container, "container", translated.warnings);
    this.tellOnce(container, translated.notices);
    return container;
  }

  /** One that an earlier daemon has left. */
  adopt(home: ContainerHome, known: KnownContainer): Container {
    const { id, bundle, namespace, processes } = known;
    const [init, ...execs] = processes.map(recordOf);
    if (init === undefined)
      throw blazarError("Internal", "take over a container", "it has no process", { subject: id });
    const container = this.container({ home, id, bundle, namespace, init, inside: undefined, known });
    for (const exec of execs) container.addKnown(exec);
    for (const { pid } of processes) this.nextPid = Math.max(this.nextPid, pid + 1);
    return container;
  }

  /** A process that containerd asks for in a container. */
  exec(container: Container, execId: string, request: TaskExecRequest): ProcessRecord {
    const { process: asked, warnings, notices } = this.ports.specs.process(request.process);
    this.warn(container, "process", warnings);
    this.tellOnce(container, notices);
    const { terminal } = request;
    const process = { ...asked, terminal };
    return new ProcessRecord({ execId, pid: this.nextPid++, paths: pathsOf(request), terminal, process });
  }

  warn(container: Container, what: string, ignored: readonly string[]): void {
    if (ignored.length > 0) container.logger.warn({ ignored }, `parts of the ${what}'s spec are not obeyed`);
  }

  private container(
    options: Omit<ConstructorParameters<typeof Container>[0], "observer" | "now" | "deadlines">,
  ): Container {
    const { now, deadlines } = this.ports;
    return new Container({ ...options, observer: this.observer, now, deadlines });
  }

  private containerOfPid(pid: number): string {
    const container = this.ports.containers.withPid(pid);
    if (container !== undefined) return container.id;
    const subject = `task ${pid}`;
    throw blazarError("InvalidSpec", "join a PID namespace", "no container has this pid", { subject });
  }

  /** The notices are few: they are sentences of the program's own. */
  private tellOnce(container: Container, notices: readonly string[]): void {
    for (const notice of notices) {
      if (this.told.has(notice)) continue;
      this.told.add(notice);
      container.logger.info({}, notice);
    }
  }
}

function recordOf({ execId, pid, paths, terminal, process, started, exit, streams }: KnownProcessFact) {
  const ended = exit && { exitStatus: exit.status, exitedAt: new Date(exit.at) };
  return new ProcessRecord({
    ...{ execId, pid, paths, terminal, process },
    known: { started, exit: ended, streams },
  });
}

function pathsOf({ stdin, stdout, stderr }: { stdin: string; stdout: string; stderr: string }) {
  return { stdin, stdout, stderr };
}

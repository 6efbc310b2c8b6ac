/**
 * The effects of one sandbox: what the steps of its chart really do.
 *
 * Owns the sandbox's journal, directory and control groups; its backend owns the VM. Each resource's intent is in the
 * journal before the resource is made. Steps that take down wait for steps that were cut short, so that nothing is made
 * behind their back, and do what they can whatever has failed.
 */
import { join } from "node:path";
import type { Backend, SandboxBackend } from "../../backends/backend.ts";
import type { Deadlines } from "../../contracts/deadlines.ts";
import { type BlazarError, blazarError } from "../../contracts/errors.ts";
import type { OwnHistory, SandboxFacts } from "../../contracts/history.ts";
import type { Logger } from "../../contracts/logger.ts";
import type { SandboxSpec } from "../../contracts/sandbox.ts";
import type { Cgroups, HostFiles } from "../../contracts/storage.ts";
import { type Deferred, deferred, withDeadline, within } from "../../lib/async.ts";
import { UnderWay } from "../../lib/under-way.ts";
import type { SandboxEffects } from "../../machines/sandbox.setup.ts";
import type { ContainerHome } from "../container/container.actor.ts";
import type { ContainerRegistry } from "../container/container-registry.ts";
import { HeldResources, type HeldResourcesPorts } from "../resources/held.ts";
import type { Journal } from "../resources/journal/journal.ts";
import type { LeftSandbox } from "../resources/known-sandbox.ts";
import type { Pace } from "../supply/pace.ts";

/** What making a sandbox needs of the host. */
export interface SandboxPorts extends HeldResourcesPorts {
  readonly backend: Pick<Backend, "open">;
  readonly containers: Pick<ContainerRegistry, "of">;
  readonly files: Pick<HostFiles, "makeDirectory" | "removeTree" | "removeFile">;
  readonly cgroups: Cgroups;
  readonly pace: Pick<Pace, "provisions">;
  /** Starts the journal of a new sandbox. */
  readonly openJournal: (sandboxId: string) => Promise<Journal>;
  /** Absolute; sandboxes are in `sandboxes/` below it. */
  readonly stateDirectory: string;
  readonly deadlines: Pick<Deadlines, "shutdown">;
  readonly logger: Logger;
}

/** Bytes in flight may take this long to reach their FIFO before a sandbox that stops gives them up. */
const DRAIN_MS = 2_000;
/** A keeper that does not answer must not keep the rest from being undone. */
const CLOSE_MS = 500;

export class Sandbox implements ContainerHome, SandboxEffects {
  readonly id: string;
  readonly logger: Logger;
  readonly resources: HeldResources;
  readonly backend: SandboxBackend;
  /** Set before the chart starts. */
  history: OwnHistory | undefined;
  adopted: Promise<void> | undefined;
  private readonly directory: string;
  private readonly provisioning = new UnderWay();
  private finishing: Promise<void> | undefined;
  /** Until what an earlier daemon has left running is reached, or is not. */
  private reaching: { readonly facts: LeftSandbox["facts"]; readonly over: Deferred<void> } | undefined;
  /** What {@link finish} waits for. */
  private finishStep = "";

  /** @param left undefined: it is new */
  constructor(
    readonly spec: SandboxSpec,
    private readonly ports: SandboxPorts,
    left?: Pick<LeftSandbox, "journal" | "facts">,
  ) {
    this.id = spec.id;
    this.directory = join(ports.stateDirectory, "sandboxes", spec.id);
    this.logger = ports.logger.child({ sandbox: spec.id });
    this.resources = new HeldResources(spec.id, ports, this.logger);
    const { directory, resources, logger } = this;
    this.backend = ports.backend.open({ spec, facts: left?.facts, directory, resources, logger });
    if (left === undefined) return;
    this.reaching = { facts: left.facts, over: deferred() };
    resources.open(left.journal);
  }

  get reached(): Promise<void> | undefined {
    return this.reaching?.over.promise;
  }

  /** Reaches again what an earlier daemon has left running, and takes its containers up. */
  adopt(signal: AbortSignal): Promise<{ pid: number }> {
    return this.provisioning.track(() => this.adoptSteps(signal));
  }

  /** What operators see of it beside its charts. */
  facts(): SandboxFacts {
    return { ...this.backend.size(), resources: this.resources.described, info: this.backend.info() };
  }

  /** Reserves what the start will need, and makes the sandbox's own resources. */
  async provision(signal: AbortSignal): Promise<void> {
    const { provisions } = this.ports.pace;
    const prepared = this.provisioning.track(() => this.backend.prepare(signal));
    const made = this.provisioning.track(() => provisions.during(signal, () => this.makeResources(signal)));
    await Promise.all([prepared, made]);
  }

  /** Kills what runs, and lets the last output reach its FIFO. */
  async stopContainers(signal: AbortSignal): Promise<void> {
    const { containers } = this;
    await Promise.all(containers.map((container) => container.kill(signal)));
    await within(Promise.all(containers.map((container) => container.drained())), DRAIN_MS);
  }

  /** Asks the guest to end by itself. */
  shutDownGuest(signal: AbortSignal): Promise<void> {
    return this.backend.shutDown(signal);
  }

  async endVmm(): Promise<void> {
    await this.provisioning.settled();
    try {
      await this.backend.end();
    } finally {
      for (const container of this.containers) container.guestGone();
    }
  }

  async tearDownNetwork(): Promise<void> {
    await this.resources.undo(({ kind }) => kind === "network");
  }

  async tearDownStorage(): Promise<void> {
    await Promise.all(this.containers.map((container) => container.settled()));
    await this.resources.undo(({ kind }) => kind !== "stdio");
  }

  /**
   * The last step, after the chart has ended: nobody will ask for the containers again. Undoes whatever the journal still
   * holds and removes the journal. Throws what could not be undone; may be called again. Whoever calls while an earlier try is
   * under way waits for that one, and tries once more if it fails: what made it fail may be over.
   */
  finish(): Promise<void> {
    const finished = this.finishing?.catch(() => this.finishOnce()) ?? this.finishOnce();
    const ms = this.ports.deadlines.shutdown;
    return withDeadline(finished, ms, () => this.unfinished(ms));
  }

  private finishOnce(): Promise<void> {
    this.finishing ??= this.finishSteps().finally(() => {
      this.finishing = undefined;
    });
    return this.finishing;
  }

  private get containers() {
    return this.ports.containers.of(this.id);
  }

  private async makeResources(signal: AbortSignal): Promise<void> {
    const { files, cgroups, openJournal } = this.ports;
    const { directory, resources, spec } = this;
    resources.open(await openJournal(this.id));
    this.recordHistory();
    signal.throwIfAborted();
    void resources.fact("sandbox", spec);
    await resources.make({ kind: "directory", path: directory }, () => files.makeDirectory(directory, 0o700));
    signal.throwIfAborted();
    const { directories, procs } = await cgroups.plan(this.id, spec.cgroupParent);
    await resources.make({ kind: "cgroups", directories }, () => cgroups.make(directories));
    this.backend.enter(procs);
  }

  /** From now on what happens is written into the journal, which is open. */
  recordHistory(): void {
    const { resources } = this;
    this.history?.record((entry) => {
      if (resources.isOpen) resources.journal.history(entry);
    });
  }

  private async adoptSteps(signal: AbortSignal): Promise<{ pid: number }> {
    const { containers } = this;
    const { facts, over } = this.reaching ?? { facts: new Map() };
    try {
      const known = new Set(containers.map(({ id }) => id));
      const { procs } = await this.ports.cgroups.plan(this.id, this.spec.cgroupParent);
      this.backend.enter(procs);
      const { pid, containers: inGuest } = await this.backend.adopt(facts, known, signal);
      if (inGuest !== undefined)
        for (const container of containers)
          container.reconcile(inGuest.find(({ id }) => id === container.id));
      return { pid };
    } finally {
      this.reaching = undefined;
      over?.resolve();
      await Promise.all(containers.map((container) => container.adopt()));
    }
  }

  private async finishSteps(): Promise<void> {
    this.finishStep = "what was being made for it";
    await this.provisioning.settled();
    this.finishStep = "the keeper, which closes its containers' streams";
    const closed = Promise.all(this.containers.map((container) => container.closeStdio()));
    closed.catch(() => undefined);
    await within(closed, CLOSE_MS);
    this.finishStep = "its VM to end";
    await this.backend.end();
    if (this.resources.isOpen) {
      this.finishStep = "what it holds on the host to be undone";
      await this.resources.undo(() => true);
      await this.resources.close();
    }
    this.finishStep = "the VM's user and turns to be given back";
    await closed;
    await this.backend.finish();
  }

  private unfinished(ms: number): BlazarError {
    const { undoing } = this.resources;
    const what = undoing.length > 0 ? undoing.join(", ") : this.finishStep;
    return blazarError(
      "DeadlineExceeded",
      "remove the sandbox",
      `after ${ms} ms it still waits for ${what}`,
      {
        subject: this.id,
        remedy: "the work goes on: try again; `blazar inspect` shows what is held",
      },
    );
  }
}

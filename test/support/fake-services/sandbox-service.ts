/**
 * The sandbox port with its rules (unknown ids, double creation, waits) and without a VM: sandboxes are in a Map.
 *
 * A test ends a sandbox by `end` and makes a method fail by `failWith`.
 */

import { sumOfStats } from "../../../src/actors/sandbox/pod-stats.ts";
import { blazarError } from "../../../src/contracts/errors.ts";
import type {
  PodLimits,
  SandboxPlatform,
  SandboxService,
  SandboxSpec,
  SandboxStatus,
} from "../../../src/contracts/sandbox.ts";
import type { CgroupStats } from "../../../src/contracts/stats.ts";
import { abortable, type Deferred, deferred } from "../../../src/lib/async.ts";

interface Exit {
  exitStatus: number;
  exitedAt: Date;
}

interface FakeSandbox {
  spec: SandboxSpec;
  status: SandboxStatus;
  ended: Deferred<Exit>;
}

export class FakeSandboxService implements SandboxService {
  readonly created: SandboxSpec[] = [];
  readonly stopTimeouts: number[] = [];
  readonly resized: { id: string; limits: PodLimits }[] = [];
  /** What {@link usage} tells. */
  used: CgroupStats = sumOfStats([]);
  readonly createdAt = new Date("2024-05-06T07:08:09.123Z");
  private readonly sandboxes = new Map<string, FakeSandbox>();
  private failures = new Map<string, unknown>();
  private startGate: Promise<void> = Promise.resolve();

  /** Makes every later call of a method reject with `error`. */
  failWith(method: keyof SandboxService, error: unknown): void {
    this.failures.set(method, error);
  }

  /** Makes Start hang until the gate resolves or the call is cancelled. */
  holdStart(gate: Promise<void>): void {
    this.startGate = gate;
  }

  /** Ends a sandbox as if its VM had gone. */
  end(id: string, exitStatus: number, exitedAt: Date): void {
    const sandbox = this.get(id);
    Object.assign(sandbox.status, { phase: "stopped", exitStatus, exitedAt });
    sandbox.ended.resolve({ exitStatus, exitedAt });
  }

  async create(spec: SandboxSpec): Promise<void> {
    this.maybeFail("create");
    if (this.sandboxes.has(spec.id)) {
      throw blazarError("SandboxExists", "create the sandbox", "it exists already", { subject: spec.id });
    }
    this.created.push(spec);
    const status: SandboxStatus = {
      id: spec.id,
      phase: "created",
      pid: 0,
      createdAt: this.createdAt,
      info: { driver: "fake" },
    };
    this.sandboxes.set(spec.id, { spec, status, ended: deferred() });
  }

  async start(id: string, signal?: AbortSignal): Promise<{ pid: number; createdAt: Date }> {
    this.maybeFail("start");
    const { status } = this.get(id);
    await abortable(this.startGate, signal, { operation: "start the sandbox", subject: id });
    Object.assign(status, { phase: "ready", pid: 4711 });
    return { pid: 4711, createdAt: this.createdAt };
  }

  platform(id: string): SandboxPlatform {
    this.maybeFail("platform");
    this.get(id);
    return { os: "linux", architecture: "amd64", variant: "" };
  }

  async stop(id: string, timeoutMs: number): Promise<void> {
    this.maybeFail("stop");
    this.stopTimeouts.push(timeoutMs);
    if (this.get(id).status.phase !== "stopped") this.end(id, 0, new Date());
  }

  async wait(id: string, signal: AbortSignal): Promise<Exit> {
    this.maybeFail("wait");
    return abortable(this.get(id).ended.promise, signal, { operation: "wait for the sandbox", subject: id });
  }

  status(id: string): SandboxStatus {
    this.maybeFail("status");
    return this.get(id).status;
  }

  async usage(id: string): Promise<CgroupStats> {
    this.maybeFail("usage");
    this.get(id);
    return this.used;
  }

  async resize(id: string, limits: PodLimits): Promise<void> {
    this.maybeFail("resize");
    this.get(id);
    this.resized.push({ id, limits });
  }

  async shutdown(id: string): Promise<void> {
    this.maybeFail("shutdown");
    this.get(id);
    this.sandboxes.delete(id);
  }

  private get(id: string): FakeSandbox {
    const sandbox = this.sandboxes.get(id);
    if (sandbox !== undefined) return sandbox;
    throw blazarError("SandboxNotFound", "find the sandbox", "there is none", { subject: id });
  }

  private maybeFail(method: keyof SandboxService): void {
    if (this.failures.has(method)) throw this.failures.get(method);
  }
}

/**
 * Compiles seccomp profiles in a worker, and keeps the filters by the profile's content.
 *
 * A node has few profiles, and every pod with RuntimeDefault the same one: it is compiled once. Must not keep a failure.
 */
import { createHash } from "node:crypto";
import type { SeccompCompiler, SeccompFilter, SeccompProfile } from "../../contracts/seccomp.ts";
import type { compileSeccomp } from "../../workers/seccomp.worker.ts";
import type { TaskRunner } from "../storage/worker-pool.ts";

/** The tasks of workers/seccomp.worker.ts. */
export type SeccompTasks = { readonly compileSeccomp: typeof compileSeccomp };

const withoutBigInts = (_: string, value: unknown) => (typeof value === "bigint" ? `${value}` : value);

/** A filter takes some 10 KB. */
const MAX_KEPT = 64;

export class CompiledProfiles implements SeccompCompiler {
  /** The least recently used first. */
  private readonly kept = new Map<string, Promise<SeccompFilter>>();

  constructor(private readonly workers: TaskRunner<SeccompTasks>) {}

  compile(profile: SeccompProfile): Promise<SeccompFilter> {
    const key = createHash("sha256").update(JSON.stringify(profile, withoutBigInts)).digest("base64");
    const filter = this.kept.get(key) ?? this.start(key, profile);
    this.kept.delete(key);
    this.kept.set(key, filter);
    const [oldest] = this.kept.keys();
    if (this.kept.size > MAX_KEPT && oldest !== undefined) this.kept.delete(oldest);
    return filter;
  }

  private start(key: string, profile: SeccompProfile): Promise<SeccompFilter> {
    const filter = this.workers.run("compileSeccomp", profile);
    filter.catch(() => this.kept.delete(key));
    return filter;
  }
}

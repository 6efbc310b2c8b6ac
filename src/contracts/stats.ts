/**
 * What a container uses, as its cgroup tells it (kernel: admin-guide/cgroup-v2).
 *
 * Maps have the kernel's own names as keys: `usage_usec` of cpu.stat, `anon` of memory.stat. A limit of undefined is none.
 */
export interface CgroupStats {
  readonly pids: { readonly current: bigint; readonly limit: bigint | undefined };
  /** cpu.stat. */
  readonly cpu: ReadonlyMap<string, bigint>;
  /** memory.stat. */
  readonly memory: ReadonlyMap<string, bigint>;
  readonly memoryUsage: {
    readonly current: bigint;
    readonly limit: bigint | undefined;
    readonly peak: bigint;
  };
  readonly swapUsage: { readonly current: bigint; readonly limit: bigint | undefined };
  /** memory.events. */
  readonly memoryEvents: ReadonlyMap<string, bigint>;
  /** io.stat, a row for each device. */
  readonly io: readonly {
    readonly major: bigint;
    readonly minor: bigint;
    readonly values: ReadonlyMap<string, bigint>;
  }[];
}

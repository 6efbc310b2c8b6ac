/**
 * What the host is short of, in sentences: pressure stall information, space of the daemon's directories, process ids.
 *
 * proc(5), statfs(2), and Documentation/accounting/psi.rst of the kernel. Looks when it is asked, and not twice within a
 * second; all of it comes out of the kernel's memory. Where a kernel tells nothing (no PSI), nothing is said.
 */
import { readFileSync, statfsSync } from "node:fs";
import { duration } from "../why/words.ts";

/** Looks at the host; a test has its own. */
export interface HostLooks {
  /** A file's text; undefined if it cannot be read. */
  read(path: string): string | undefined;
  /** Of the file system at a path; undefined if it cannot be asked. */
  space(
    path: string,
  ):
    | { readonly bytes: number; readonly free: number; readonly files: number; readonly freeFiles: number }
    | undefined;
}

const FRESH_MS = 1_000;
/** Tasks that wait so much of the time, in percent of the last ten seconds, make starts slow. */
const PRESSURE_PERCENT = 20;
const LEAST_FREE = 0.05;
const LEAST_FREE_BYTES = 512 * 2 ** 20;
const MOST_PIDS = 0.9;
const LEAST_MEMORY = 0.05;

const PRESSURES = { cpu: "the processors", memory: "memory", io: "the disks" } as const;

export const hostLooks: HostLooks = {
  read(path) {
    try {
      return readFileSync(path, "utf8");
    } catch {
      return undefined;
    }
  },
  space(path) {
    try {
      const { bsize, blocks, bavail, files, ffree } = statfsSync(path);
      return { bytes: blocks * bsize, free: bavail * bsize, files, freeFiles: ffree };
    } catch {
      return undefined;
    }
  },
};

export class Shortages {
  private known: readonly string[] = [];
  private knownAt = Number.NEGATIVE_INFINITY;

  /** @param directories by their key in the configuration */
  constructor(
    private readonly directories: Readonly<Record<string, string>>,
    private readonly now: () => number,
    private readonly looks: HostLooks = hostLooks,
  ) {}

  list(): readonly string[] {
    const now = this.now();
    if (Math.abs(now - this.knownAt) < FRESH_MS) return this.known;
    this.knownAt = now;
    this.known = [...this.pressures(), ...this.memory(), ...this.spaces(), ...this.pids()];
    return this.known;
  }

  private pressures(): string[] {
    return Object.entries(PRESSURES).flatMap(([name, what]) => {
      const share = Number(
        /^some avg10=([\d.]+)/m.exec(this.looks.read(`/proc/pressure/${name}`) ?? "")?.[1],
      );
      if (!(share >= PRESSURE_PERCENT)) return [];
      return [
        `the host is short of ${what}: tasks waited for ${share.toFixed(0)} % of the last ${duration(10_000)}`,
      ];
    });
  }

  private memory(): string[] {
    const text = this.looks.read("/proc/meminfo") ?? "";
    const [total, available] = ["MemTotal", "MemAvailable"].map((name) =>
      Number(new RegExp(`^${name}:\\s+(\\d+) kB`, "m").exec(text)?.[1]),
    );
    if (total === undefined || available === undefined || !(available < total * LEAST_MEMORY)) return [];
    return [`the host has ${mebibytes(available * 1024)} of memory left (${percent(available / total)})`];
  }

  private spaces(): string[] {
    return Object.entries(this.directories).flatMap(([key, path]) => {
      const found = this.looks.space(path);
      if (found === undefined || found.bytes === 0) return [];
      const { bytes, free, files, freeFiles } = found;
      const where = `the file system of ${key} (${path})`;
      if (free < Math.min(bytes * LEAST_FREE, LEAST_FREE_BYTES))
        return [`${where} has ${mebibytes(free)} left (${percent(free / bytes)})`];
      return files > 0 && freeFiles < files * LEAST_FREE ? [`${where} has ${freeFiles} inodes left`] : [];
    });
  }

  private pids(): string[] {
    const most = Number(this.looks.read("/proc/sys/kernel/pid_max"));
    const used = Number(/\/(\d+) /.exec(this.looks.read("/proc/loadavg") ?? "")?.[1]);
    return used > most * MOST_PIDS ? [`the host has ${used} of ${most} process ids in use`] : [];
  }
}

function mebibytes(bytes: number): string {
  return `${Math.round(bytes / 2 ** 20)} MiB`;
}

function percent(share: number): string {
  return `${(share * 100).toFixed(1)} %`;
}

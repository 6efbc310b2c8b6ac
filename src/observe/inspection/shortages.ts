/**
 * What the host is short of, in sentences: pressure stall information, space of the daemon's directories, process ids.
 *
 * proc(5), statfs(2), and Documentation/accounting/psi.rst of the kernel. What the kernel has in memory is read when it is asked
 * for, and not twice within a second. A file system may be another machine's, and hang: it is asked beside, one question at a
 * time, and what it said last counts. Where a kernel tells nothing (no PSI), nothing is said.
 */
import { readFileSync } from "node:fs";
import { statfs } from "node:fs/promises";
import { within } from "../../lib/async.ts";
import { duration } from "../why/words.ts";

/** Looks at the host; a test has its own. */
export interface HostLooks {
  /** A file's text; undefined if it cannot be read. */
  read(path: string): string | undefined;
  /** Of the file system at a path; undefined if it cannot be asked. Never rejects; may never resolve. */
  space(path: string): Promise<Space | undefined>;
}

export interface Space {
  readonly bytes: number;
  readonly free: number;
  readonly files: number;
  readonly freeFiles: number;
}

const FRESH_MS = 1_000;
/** What file systems have said is so old at most while something moves. */
const RECENT_MS = 10_000;
/** A file system that takes longer to answer is told of. */
const SLOW_MS = 2_000;
/** Somebody who asks about one sandbox waits so long for them. */
const ASKED_MS = 200;
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
  async space(path) {
    const found = await statfs(path).catch(() => undefined);
    if (found === undefined) return undefined;
    const { bsize, blocks, bavail, files, ffree } = found;
    return { bytes: blocks * bsize, free: bavail * bsize, files, freeFiles: ffree };
  },
};

/** What is known of one file system. */
interface Asked {
  readonly where: string;
  readonly path: string;
  text: string | undefined;
  /** When it was asked last. */
  at: number;
  underWay: Promise<void> | undefined;
}

export class Shortages {
  private known: readonly string[] = [];
  private knownAt = Number.NEGATIVE_INFINITY;
  private readonly fileSystems: readonly Asked[];

  /** @param directories by their key in the configuration */
  constructor(
    directories: Readonly<Record<string, string>>,
    private readonly now: () => number,
    private readonly looks: HostLooks = hostLooks,
  ) {
    this.fileSystems = Object.entries(directories).map(([key, path]) => ({
      ...{ where: `the file system of ${key} (${path})`, path, text: undefined },
      ...{ at: Number.NEGATIVE_INFINITY, underWay: undefined },
    }));
  }

  list(): readonly string[] {
    const now = this.now();
    if (Math.abs(now - this.knownAt) >= FRESH_MS) {
      this.knownAt = now;
      this.known = [...this.pressures(), ...this.memory(), ...this.pids()];
      this.ask(FRESH_MS);
    }
    return [...this.known, ...this.spaces(now)];
  }

  /** Something moves, and may fail: what is known then shall not be old. */
  keepRecent(): void {
    this.ask(RECENT_MS);
  }

  /** Resolves when every file system has answered, or has had its time. */
  async look(): Promise<void> {
    this.ask(FRESH_MS);
    await within(Promise.all(this.fileSystems.map(({ underWay }) => underWay)), ASKED_MS);
  }

  private ask(olderThanMs: number): void {
    const now = this.now();
    for (const each of this.fileSystems) {
      if (each.underWay !== undefined || Math.abs(now - each.at) < olderThanMs) continue;
      each.at = now;
      each.underWay = this.looks.space(each.path).then((space) => {
        each.text = space && shortOf(space);
        each.underWay = undefined;
      });
    }
  }

  private spaces(now: number): string[] {
    return this.fileSystems.flatMap(({ where, text, at, underWay }) => {
      const silent = underWay === undefined ? 0 : now - at;
      if (silent >= SLOW_MS) return [`${where} has not answered for ${duration(silent)}`];
      return text === undefined ? [] : [`${where} has ${text}`];
    });
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

  private pids(): string[] {
    const most = Number(this.looks.read("/proc/sys/kernel/pid_max"));
    const used = Number(/\/(\d+) /.exec(this.looks.read("/proc/loadavg") ?? "")?.[1]);
    return used > most * MOST_PIDS ? [`the host has ${used} of ${most} process ids in use`] : [];
  }
}

/** What it has left, if that is little. */
function shortOf({ bytes, free, files, freeFiles }: Space): string | undefined {
  if (bytes === 0) return undefined;
  if (free < Math.min(bytes * LEAST_FREE, LEAST_FREE_BYTES))
    return `${mebibytes(free)} left (${percent(free / bytes)})`;
  return files > 0 && freeFiles < files * LEAST_FREE ? `${freeFiles} inodes left` : undefined;
}

function mebibytes(bytes: number): string {
  return `${Math.round(bytes / 2 ** 20)} MiB`;
}

function percent(share: number): string {
  return `${(share * 100).toFixed(1)} %`;
}

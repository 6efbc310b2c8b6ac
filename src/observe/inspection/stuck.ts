/**
 * Finds sandboxes that are stuck: a state that waits is held much longer than it usually is, or the VMM's process is halted.
 *
 * Looks at charts only while one waits; halted-vmms.ts tells of VMMs. Each state that is stuck is told once, with what it waits for. How long is too long
 * follows from how long the state took before; until enough is known, it is half of the time that its deadline allows.
 */
import type { Logger } from "../../contracts/logger.ts";
import type { ChartView } from "../history/chart-recorder.ts";
import type { SandboxRecord } from "../history/sandbox-record.ts";
import { duration } from "../why/words.ts";
import type { Figures } from "./figures.ts";
import { deadlinesOf, isWaiting, vmmOf } from "./views.ts";

export interface StuckOptions {
  /** Times its usual p99. */
  readonly factor: number;
  /** No state is stuck sooner, milliseconds. */
  readonly leastMs: number;
  readonly figures: Figures;
  readonly now: () => number;
  readonly logger: Logger;
  readonly running: () => Iterable<SandboxRecord>;
  /** The paragraph of `blazar why`, for the log. */
  readonly why: (record: SandboxRecord) => string;
  /** It has become stuck, or is no longer. */
  readonly onChanged: (record: SandboxRecord) => void;
}

/** So many times have to be known before a p99 counts. */
const ENOUGH = 20;
const LOOK_EVERY_MS = 1_000;
/** Without a deadline and without enough times. */
const UNKNOWN_MS = 60_000;
const VMM = "vmm";

interface Stuck {
  /** Of the chart; `vmm` if that is what is halted. */
  readonly key: string;
  readonly path: string;
  readonly sentence: string;
}

export class StuckWatch {
  /** States that have become stuck since the daemon's start. */
  total = 0;
  private readonly stuck = new Map<SandboxRecord, Stuck>();
  private timer: NodeJS.Timeout | undefined;

  constructor(private readonly options: StuckOptions) {}

  /** Why it is stuck; undefined: it is not. */
  of(record: SandboxRecord): string | undefined {
    return this.stuck.get(record)?.sentence;
  }

  get count(): number {
    return this.stuck.size;
  }

  /** A chart of it has moved, or it has ended. */
  moved(record: SandboxRecord, move: Pick<ChartView, "chart" | "path"> | undefined): void {
    const known = this.stuck.get(record);
    if (known !== undefined && !stillIn(record, known)) this.stuck.delete(record);
    if (this.timer === undefined && move !== undefined && isWaitingNow({ ...move, ended: false }))
      this.plan();
  }

  /** Its VMM's process does nothing, and for how long; undefined: it runs. */
  vmmHalted(record: SandboxRecord, sentence: string | undefined): void {
    const known = this.stuck.get(record);
    if (sentence === undefined) {
      if (known?.key !== VMM) return;
      this.stuck.delete(record);
      this.options.onChanged(record);
    } else if (known === undefined && record.endedAt === undefined)
      this.tell(record, { key: VMM, path: "", sentence });
  }

  close(): void {
    clearTimeout(this.timer);
    this.timer = undefined;
    this.stuck.clear();
  }

  private plan(): void {
    this.timer = setTimeout(() => {
      this.timer = undefined;
      if (this.look()) this.plan();
    }, LOOK_EVERY_MS);
    this.timer.unref();
  }

  /** Returns whether anything waits. */
  private look(): boolean {
    let waiting = false;
    for (const record of this.options.running()) {
      for (const chart of record.charts) {
        if (!isWaitingNow(chart)) continue;
        waiting = true;
        if (!this.stuck.has(record)) this.examine(record, chart);
      }
    }
    return waiting;
  }

  private examine(record: SandboxRecord, view: ChartView): void {
    const { now } = this.options;
    const { key } = view;
    const path = heldState(view);
    const held = now() - (view.entered(path) ?? now());
    const most = this.mostOf(view);
    if (held < most) return;
    const usual = this.options.figures.of(stepName(view));
    this.tell(record, { key, path, sentence: stuckSentence(key, path, most, usual?.p99) }, held);
  }

  private tell(record: SandboxRecord, stuck: Stuck, held?: number): void {
    const { onChanged, why, logger } = this.options;
    const { key, path, sentence } = stuck;
    this.stuck.set(record, stuck);
    this.total += 1;
    record.note(`stuck: ${sentence}`);
    const about = held === undefined ? {} : { state: path, heldMs: Math.round(held) };
    logger.warn({ sandbox: record.id, chart: key, ...about }, `stuck: ${why(record)}`);
    onChanged(record);
  }

  private mostOf(view: ChartView): number {
    const { factor, leastMs, figures } = this.options;
    const usual = figures.of(stepName(view));
    if (usual !== undefined && usual.count >= ENOUGH) return Math.max(leastMs, factor * usual.p99);
    const ends = deadlinesOf(view).filter(({ name }) => name !== "firstSign");
    const allowed = ends.map(({ since, endsAt }) => endsAt - since);
    return Math.max(leastMs, allowed.length === 0 ? UNKNOWN_MS : Math.min(...allowed) / 2);
  }
}

/** Why a chart counts as stuck. */
export function stuckSentence(key: string, path: string, mostMs: number, p99Ms: number | undefined): string {
  const than = p99Ms === undefined ? "" : `, and usually less than ${duration(p99Ms)}`;
  return `${key} is in ${path} for more than ${duration(mostMs)}${than}`;
}

/** The name of a state among the figures: of a boot its outer one. */
export function stepName({ chart, path }: Pick<ChartView, "chart" | "path">): string {
  const state = heldState({ chart, path });
  if (chart === "sandbox") return state;
  return chart === "boot" ? `booting.${state}` : `${chart}.${state}`;
}

/** The looks at a guest that is waited for begin no wait of their own. */
function heldState({ chart, path }: Pick<ChartView, "chart" | "path">): string {
  return chart === "boot" ? (path.split(".")[0] ?? path) : path;
}

function isWaitingNow({ chart, path, ended }: Pick<ChartView, "chart" | "path" | "ended">): boolean {
  // the boot's own chart says which part of it waits
  return !ended && !(chart === "sandbox" && path === "booting") && isWaiting(chart, path);
}

function stillIn(record: SandboxRecord, { key, path }: Stuck): boolean {
  if (record.endedAt !== undefined) return false;
  // a VMM that has ended is halted no more
  if (key === VMM) return vmmOf(record) !== 0;
  return record.charts.some((chart) => !chart.ended && chart.key === key && heldState(chart) === path);
}

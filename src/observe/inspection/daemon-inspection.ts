/**
 * What operators may ask of this daemon: the port `Inspection`, on the histories of its sandboxes.
 *
 * Puts together what others know: records, figures, shortages, stuck sandboxes. Nothing here is waited for by a pod.
 */

import { chartOfKey } from "../../charts/names.ts";
import { blazarError, reasonOf } from "../../contracts/errors.ts";
import type { EventSource } from "../../contracts/event-source.ts";
import type {
  ChartDefinition,
  Inspection,
  InspectionEvent,
  LogName,
  NodeStatus,
  SandboxDetail,
  SandboxSummary,
  SandboxUsage,
  WatchFilter,
} from "../../contracts/inspection.ts";
import type { Logger } from "../../contracts/logger.ts";
import { chartDefinitions } from "../charts/definitions.ts";
import type { ChartMove } from "../history/chart-recorder.ts";
import type { HistoryHub } from "../history/hub.ts";
import type { SandboxRecord } from "../history/sandbox-record.ts";
import { whyLine } from "../why/line.ts";
import { HOST_NOTE, why } from "../why/why.ts";
import { Figures } from "./figures.ts";
import { HaltedVmms } from "./halted-vmms.ts";
import { LastWords } from "./last-words.ts";
import type { Shortages } from "./shortages.ts";
import { StuckWatch, stepName } from "./stuck.ts";
import { detailOf, isWaiting, summaryOf } from "./views.ts";
import { Watchers } from "./watchers.ts";

/** The daemon's own parts: keeper, sockets. */
export interface OwnParts {
  /** As of the last look, a sentence each. */
  readonly troubles: readonly string[];
  /** Never rejects. */
  look(): Promise<void>;
}

export interface InspectionOptions {
  readonly hub: HistoryHub;
  readonly shortages: Shortages;
  /** What sandboxes use, and their logs; see SandboxLooks. */
  readonly looks: Pick<Inspection, "usage" | "logs">;
  /** What the daemon is, and its pool now. */
  readonly daemon: () => Pick<NodeStatus, "version" | "startedAt" | "vmm" | "acceleration" | "kvm" | "pool">;
  /** What of the daemon's own parts does not do what it should. */
  readonly parts: OwnParts;
  /** What a process does, if that explains why it does nothing: `"is stopped by a signal (state T)"`. */
  readonly processTrouble: (pid: number) => Promise<string | undefined>;
  readonly stuckFactor: number;
  readonly stuckLeastMs: number;
  readonly logger: Logger;
}

const MINUTE_MS = 60_000;
/** Errors that say all by themselves. */
const PLAIN_KINDS: ReadonlySet<string> = new Set([
  ...["invalidArgument", "notFound", "alreadyExists", "failedPrecondition", "unimplemented"],
]);
/** The same: a kernel's answers to what was asked for, which no wait and no shortage would change. */
const PLAIN_ERRNOS =
  /\((EACCES|EEXIST|EINVAL|EISDIR|ELOOP|ENAMETOOLONG|ENODEV|ENOENT|ENOEXEC|ENOTDIR|ENXIO|EOVERFLOW|EPERM|EROFS)\)/;

export class DaemonInspection implements Inspection {
  readonly figures = new Figures();
  private readonly stuck: StuckWatch;
  private readonly halted: HaltedVmms;
  private readonly lastWords: LastWords;
  private readonly watchers: Watchers;
  private readonly starts: Record<string, number> = {};
  /** When the last ones were ready. */
  private ready: number[] = [];
  private readonly unlisten: () => void;

  constructor(private readonly options: InspectionOptions) {
    const { hub, logger, stuckFactor, stuckLeastMs } = options;
    this.stuck = new StuckWatch({
      ...{ factor: stuckFactor, leastMs: stuckLeastMs, figures: this.figures, now: hub.now, logger },
      running: () => hub.runningRecords,
      why: (record) => this.whyOf(record, undefined),
      onChanged: (record) => this.watchers.recordChanged(record),
    });
    this.halted = new HaltedVmms({
      ...{ processTrouble: options.processTrouble, leastMs: stuckLeastMs, now: hub.now },
      running: () => hub.runningRecords,
      onFound: (record, sentence) => this.stuck.vmmHalted(record, sentence),
    });
    this.lastWords = new LastWords((id, log, how) => options.looks.logs(id, log, how));
    this.watchers = new Watchers(
      () => hub.records,
      (record) => this.summary(record),
    );
    hub.explainWith((record, error) => this.explain(record, error));
    this.unlisten = hub.listen({
      began: (id, entry) => this.watchers.entry(id, entry),
      ended: (id, entry) => this.watchers.entry(id, entry),
      changed: (record, move) => this.changed(record, move),
      forgotten: (id) => {
        this.lastWords.forget(id);
        this.watchers.forgotten(id);
      },
    });
  }

  /** Sandboxes that are stuck now, and that have become so since the daemon's start. */
  get stuckCounts(): { readonly now: number; readonly total: number } {
    return { now: this.stuck.count, total: this.stuck.total };
  }

  get watcherCount(): number {
    return this.watchers.count;
  }

  node(): NodeStatus {
    const { hub, shortages, daemon, parts } = this.options;
    const now = hub.now();
    const phases: Record<string, number> = {};
    for (const { phase } of this.list()) phases[phase] = (phases[phase] ?? 0) + 1;
    return {
      ...daemon(),
      ...{ pid: process.pid, now, phases, stuck: this.stuck.count, starts: { ...this.starts } },
      startsLastMinute: this.startsSince(now - MINUTE_MS),
      steps: this.figures.all,
      shortages: shortages.list(),
      troubles: parts.troubles,
      memoryBytes: process.memoryUsage.rss(),
    };
  }

  look(): Promise<void> {
    return this.options.parts.look();
  }

  list(): SandboxSummary[] {
    return this.options.hub.records.map((record) => this.summary(record));
  }

  /** The code of why a sandbox goes down; undefined if it was asked to, or is not known. */
  failureOf(id: string): string | undefined {
    const record = this.options.hub.find(id);
    return record && this.summary(record).failure?.code;
  }

  async get(id: string): Promise<SandboxDetail> {
    const record = this.find(id, "look at the sandbox");
    const { pid } = this.summary(record);
    const [trouble] = await Promise.all([
      pid === 0 ? undefined : this.options.processTrouble(pid),
      this.options.shortages.look(),
      this.options.parts.look(),
    ]);
    return { ...detailOf(record, this.stuck.of(record)), why: this.whyOf(record, trouble) };
  }

  /** As {@link get}, for those who cannot wait; without a look at the VMM's process. */
  detailNow(id: string): SandboxDetail | undefined {
    const record = this.options.hub.find(id);
    return record && { ...detailOf(record, this.stuck.of(record)), why: this.whyOf(record, undefined) };
  }

  watch(filter: WatchFilter): EventSource<InspectionEvent> {
    if (filter.sandboxId !== undefined) this.find(filter.sandboxId, "watch the sandbox");
    return this.watchers.watch(filter);
  }

  charts(): readonly ChartDefinition[] {
    return chartDefinitions();
  }

  async usage(ids: readonly string[]): Promise<SandboxUsage[]> {
    const records = ids.map((id) => this.find(id, "ask for usage"));
    const running = records.filter(({ endedAt }) => endedAt === undefined).map(({ id }) => id);
    if (ids.length > 0 && running.length === 0) return [];
    return await this.options.looks.usage(running);
  }

  logs(
    id: string,
    log: LogName,
    options: { readonly tailBytes: number; readonly follow: boolean },
  ): EventSource<Uint8Array> {
    const { endedAt } = this.find(id, "read a log");
    if (endedAt === undefined) return this.options.looks.logs(id, log, options);
    const kept = this.lastWords.of(id, log, options.tailBytes);
    if (kept !== undefined) return kept;
    const remedy = "they are kept of those that have failed";
    throw blazarError("SandboxNotReady", "read a log", "the sandbox has ended, and its logs with it", {
      subject: id,
      remedy,
    });
  }

  close(): void {
    this.unlisten();
    this.stuck.close();
    this.halted.close();
    this.watchers.close();
  }

  summary(record: SandboxRecord): SandboxSummary {
    return summaryOf(record, this.stuck.of(record));
  }

  private find(id: string, operation: string): SandboxRecord {
    const record = this.options.hub.find(id);
    if (record !== undefined) return record;
    const remedy = "blazar ps lists those that there are";
    throw blazarError("SandboxNotFound", operation, "there is none with this id", { subject: id, remedy });
  }

  private whyOf(record: SandboxRecord, vmm: string | undefined): string {
    const { hub, shortages, parts } = this.options;
    return why(detailOf(record, this.stuck.of(record)), {
      ...{ now: hub.now(), shortages: shortages.list(), charts: chartDefinitions(), vmm },
      troubles: parts.troubles,
      usual: (path) => {
        const [state = "", inner = ""] = path.split(".");
        return this.figures.of(state === "booting" && inner !== "" ? `booting.${inner}` : path);
      },
    });
  }

  private explain(record: SandboxRecord, error: unknown): string {
    const kind = (error as { readonly kind?: string }).kind ?? "internal";
    if (PLAIN_KINDS.has(kind) || PLAIN_ERRNOS.test(reasonOf(error))) return "";
    return whyLine(record.entries.all, this.options.shortages.list(), chartOfKey);
  }

  private changed(record: SandboxRecord, move: ChartMove | undefined): void {
    this.options.shortages.keepRecent();
    this.halted.watch();
    if (move !== undefined) this.count(record, move);
    this.stuck.moved(record, move && { chart: move.chart, path: move.to });
    this.watchers.recordChanged(record);
  }

  private count(record: SandboxRecord, { key, chart, to, at, left }: ChartMove): void {
    for (const { path, ms } of left) {
      if (isWaiting(chart, path) && !(chart === "boot" && path.includes(".")))
        this.figures.add(stepName({ chart, path }), ms);
    }
    if (key !== "sandbox") return;
    if (to.startsWith("ready") && left.some(({ path }) => path === "booting")) this.started(record, at);
    if (to.startsWith("stopping") && left.some(({ path }) => !path.startsWith("stopping")))
      this.noteFailure(record);
  }

  private started(record: SandboxRecord, at: number): void {
    const { path } = this.summary(record);
    if (path !== "") this.starts[path] = (this.starts[path] ?? 0) + 1;
    if (record.startMs !== undefined) this.figures.add("start", record.startMs);
    this.ready.push(at);
    if (this.ready.length > 1 && (this.ready[0] ?? at) < at - MINUTE_MS) this.startsSince(at - MINUTE_MS);
  }

  private startsSince(from: number): number {
    this.ready = this.ready.filter((at) => at >= from);
    return this.ready.length;
  }

  /** What the host was short of when a sandbox failed is gone when somebody asks, and so are its logs. */
  private noteFailure(record: SandboxRecord): void {
    if (this.summary(record).failure === undefined) return;
    this.lastWords.keep(record.id);
    const short = this.options.shortages.list();
    if (short.length > 0) record.note(`${HOST_NOTE}${short.join("; ")}`);
  }
}

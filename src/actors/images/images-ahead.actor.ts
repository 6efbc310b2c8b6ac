/**
 * Makes images before a pod asks for them: when containerd has unpacked an OCI image, and the node has nothing else to do.
 *
 * One at a time. What containerd tells only wakes it: it then asks which chains are the tops of OCI images, so that no image
 * of a layer in between is made. A failure is told once for each chain, and costs nothing but speed. An image whose OCI image
 * is removed meanwhile is given up. Must not keep layers while it waits.
 */
import type { Deadlines } from "../../contracts/deadlines.ts";
import { BlazarError, blazarError, type ErrorCode } from "../../contracts/errors.ts";
import type { ImageStore } from "../../contracts/images.ts";
import type { Logger } from "../../contracts/logger.ts";
import type { SnapshotChange, Snapshots, UnpackedChain } from "../../contracts/snapshots.ts";
import { UnderWay } from "../../lib/under-way.ts";
import type { Pace } from "../supply/pace.ts";
import { type ReadLower, SNAPSHOTTER } from "./chains.ts";
import { prepareChain } from "./prepare.ts";
import { WantedChains } from "./wanted.ts";

/** The layers of an image are committed one after the other: it is enough to look after the last. */
const SETTLE_MS = 500;
/** containerd notes the top of a chain after its last event: a second look finds what the first was too early for. */
const SECOND_LOOK_MS = 10_000;
/** The store will not make any image. */
const HOPELESS: ReadonlySet<ErrorCode> = new Set(["DependencyMissing", "Unimplemented"]);
/** containerd is away, and tells when it is back. */
const AWAY: ReadonlySet<ErrorCode> = new Set(["RemoteUnavailable"]);
/** The chain is gone. */
const GONE: ReadonlySet<ErrorCode> = new Set(["RemoteNotFound"]);

export interface ImagesAheadPorts {
  readonly snapshots: Pick<Snapshots, "changes" | "list" | "open" | "tidy">;
  readonly images: Pick<ImageStore, "prepare">;
  readonly readLower: ReadLower;
  readonly pace: Pick<Pace, "pause">;
  readonly deadlines: Pick<Deadlines, "imageAhead">;
  readonly logger: Logger;
  readonly now: () => number;
}

export interface ImagesAheadSettings {
  /** For how many of the OCI images that are there at the start, the last unpacked first. */
  readonly existing: number;
}

export class ImagesAhead {
  private readonly ended = new AbortController();
  private readonly work = new UnderWay();
  private wanted: WantedChains | undefined;
  private subscription: { unsubscribe(): void } | undefined;
  private timer: NodeJS.Timeout | undefined;
  /** What is being made now. */
  private current: { readonly chain: UnpackedChain; readonly gone: AbortController } | undefined;
  private making = false;
  private listFailed = false;

  constructor(
    private readonly ports: ImagesAheadPorts,
    private readonly settings: ImagesAheadSettings,
  ) {}

  start(): void {
    this.wanted = new WantedChains(new Date(this.ports.now()), this.settings.existing);
    this.subscription = this.ports.snapshots.changes.subscribe({
      next: (change) => this.changed(change),
      error: () => undefined,
      complete: () => undefined,
    });
  }

  /** Gives up what is being made, and lets its layers go. */
  async close(): Promise<void> {
    this.ended.abort();
    this.subscription?.unsubscribe();
    clearTimeout(this.timer);
    await this.work.settled();
  }

  private changed(change: SnapshotChange): void {
    if (change === "connected") void this.work.track(() => this.tidy());
    this.lookAfter(SETTLE_MS, true);
  }

  /** A later change puts the look off; a chain of commits that never ends would starve it, but pulls do end. */
  private lookAfter(ms: number, again: boolean): void {
    if (this.ended.signal.aborted) return;
    clearTimeout(this.timer);
    this.timer = setTimeout(() => {
      void this.work.track(() => this.look());
      if (again) this.lookAfter(SECOND_LOOK_MS, false);
    }, ms);
  }

  private async tidy(): Promise<void> {
    const { snapshots, logger } = this.ports;
    await snapshots
      .tidy(this.ended.signal)
      .catch((err: unknown) => logger.debug({ err }, "views of layers could not be tidied up"));
  }

  /** Asks what is unpacked, gives up what is not wanted any more, and sees to the rest. */
  private async look(): Promise<void> {
    const { ports, wanted, ended } = this;
    try {
      wanted?.list(await ports.snapshots.list(SNAPSHOTTER, ended.signal));
      this.listFailed = false;
    } catch (error) {
      if (!this.isExpected(error) && !this.listFailed) {
        this.listFailed = true;
        ports.logger.warn(
          { err: error },
          "containerd does not say which images are unpacked: none are made ahead",
        );
      }
      return;
    }
    const { current } = this;
    if (current !== undefined && wanted?.isListed(current.chain) === false) current.gone.abort();
    if (!this.making) void this.work.track(() => this.makeAll());
  }

  private async makeAll(): Promise<void> {
    const { wanted, ended, ports } = this;
    this.making = true;
    try {
      while (wanted?.next !== undefined) {
        await ports.pace.pause(ended.signal);
        // the list may be another one after the wait
        const chain = wanted.next;
        if (chain !== undefined && !(await this.make(chain, wanted))) return;
      }
    } catch {
      // the daemon ends
    } finally {
      this.making = false;
    }
  }

  /** False if no other should be made either. */
  private async make(chain: UnpackedChain, wanted: WantedChains): Promise<boolean> {
    const { ports, ended } = this;
    const gone = new AbortController();
    this.current = { chain, gone };
    const started = ports.now();
    try {
      const signal = AbortSignal.any([ended.signal, gone.signal]);
      const { key, bytes } = await this.inTime(chain, signal);
      wanted.handle(chain);
      const fields = { chain: chain.name, key, bytes, ms: ports.now() - started };
      ports.logger.debug(fields, "an image is there before a pod asks for it");
      return true;
    } catch (error) {
      if (isOneOf(error, AWAY)) wanted.postpone(chain);
      else wanted.handle(chain);
      if (!this.isExpected(error) && !gone.signal.aborted) this.tell(chain, error);
      return !ended.signal.aborted && !this.giveUp(error);
    } finally {
      this.current = undefined;
    }
  }

  /** The layers are kept only so long, so whoever reads them must be done by then. */
  private async inTime(chain: UnpackedChain, signal: AbortSignal) {
    const ms = this.ports.deadlines.imageAhead;
    const late = new AbortController();
    const timer = setTimeout(() => late.abort(), ms);
    try {
      return await prepareChain(chain, this.ports, AbortSignal.any([signal, late.signal]));
    } catch (cause) {
      if (!late.signal.aborted) throw cause;
      const about = { subject: chain.name, cause };
      throw blazarError("DeadlineExceeded", "make an image ahead", `not done within ${ms} ms`, about);
    } finally {
      clearTimeout(timer);
    }
  }

  private tell(chain: UnpackedChain, error: unknown): void {
    const message = "an image could not be made ahead: pods start without it";
    this.ports.logger.warn({ err: error, chain: chain.name }, message);
  }

  /** After a failure that would be every image's, nothing is asked any more. */
  private giveUp(error: unknown): boolean {
    if (!isOneOf(error, HOPELESS)) return false;
    this.subscription?.unsubscribe();
    clearTimeout(this.timer);
    this.ended.abort();
    return true;
  }

  private isExpected(error: unknown): boolean {
    return this.ended.signal.aborted || isOneOf(error, AWAY) || isOneOf(error, GONE);
  }
}

function isOneOf(error: unknown, codes: ReadonlySet<ErrorCode>): boolean {
  return error instanceof BlazarError && codes.has(error.code);
}

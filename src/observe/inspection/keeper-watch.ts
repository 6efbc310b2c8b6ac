/**
 * Looks now and then whether the keeper does its work: a keeper that is stopped keeps no chart waiting and fails nothing at
 * once, and yet no output and no call of containerd reaches anybody.
 *
 * A look asks /proc, and then the keeper itself. What it finds is logged when it begins and when it is over.
 */
import type { Keeper } from "../../contracts/keeper.ts";
import type { Logger } from "../../contracts/logger.ts";
import { within } from "../../lib/async.ts";

export interface KeeperWatchOptions {
  readonly keeper: Pick<Keeper, "pid" | "connected" | "ping">;
  /** What a process does, if that explains why it does nothing: `"is stopped by a signal (state T)"`. */
  readonly processTrouble: (pid: number) => Promise<string | undefined>;
  readonly logger: Logger;
}

const LOOK_EVERY_MS = 10_000;
/** One that runs answers within milliseconds, and within this also on a host that is busy. */
const ANSWER_MS = 1_000;
const MEANWHILE =
  "containers run on, but no output reaches its reader, no call about a container arrives, and nothing can be started";

export class KeeperWatch {
  /** As a sentence; "" = it does its work. As of the last look. */
  trouble = "";
  private readonly timer: NodeJS.Timeout;
  private underWay: Promise<void> | undefined;
  private asked: Promise<boolean> | undefined;

  constructor(private readonly options: KeeperWatchOptions) {
    this.timer = setInterval(() => void this.look(), LOOK_EVERY_MS).unref();
  }

  /** Never rejects. Those who ask at once get one look. */
  look(): Promise<void> {
    this.underWay ??= this.lookNow().finally(() => {
      this.underWay = undefined;
    });
    return this.underWay;
  }

  close(): void {
    clearInterval(this.timer);
  }

  private async lookNow(): Promise<void> {
    const { keeper, processTrouble, logger } = this.options;
    const { pid } = keeper;
    const state = await processTrouble(pid).catch(() => undefined);
    const trouble = state ?? ((await this.answers()) ? "" : "does not answer");
    const { trouble: before } = this;
    const remedy = state?.includes("stopped") === true ? `\`kill -CONT ${pid}\` lets it go on` : "";
    const said = [`the keeper (pid ${pid}) ${trouble}: ${MEANWHILE}`, remedy].filter((text) => text !== "");
    this.trouble = trouble === "" ? "" : said.join("; ");
    if (this.trouble !== "" && before === "") logger.error({ keeper: pid }, this.trouble);
    if (this.trouble === "" && before !== "") logger.info({ keeper: pid }, "the keeper answers again");
  }

  /** One question at a time: those to a keeper that is stopped for long are answered all at once. */
  private async answers(): Promise<boolean> {
    if (!this.options.keeper.connected) return false;
    this.asked ??= this.options.keeper
      .ping()
      .then(
        () => true,
        () => false,
      )
      .finally(() => {
        this.asked = undefined;
      });
    return (await within(this.asked, ANSWER_MS)) === true;
  }
}

/**
 * Asks the parts for what they tell at a scrape (observe/metrics/parts.ts).
 *
 * The stores are on disk, so they are read once a minute at most.
 */
import type { Keeper } from "../../contracts/keeper.ts";
import type { Kept, PartFigures } from "../../observe/metrics/parts.ts";
import { usedBy } from "../../observe/metrics/vmm-overhead.ts";
import type { Core } from "../core.ts";

const KEPT_MS = 60_000;

export type PartSources = Pick<Core, "original" | "pace" | "workers" | "traffic" | "images" | "templates">;

/** What only the composition root knows. */
interface Others {
  readonly watchers: () => number;
  readonly stuck: () => number;
  readonly spans: () => PartFigures["spans"];
  readonly reconcile: () => PartFigures["reconcile"];
}

/** Returns what asks. */
export function partFigures(core: PartSources, keeper: Keeper, others: Others): () => Promise<PartFigures> {
  const { pace, workers, traffic, images, templates, original } = core;
  const imagesKept = readNowAndThen(() => images.list());
  const templatesKept = readNowAndThen(async () => templates?.list());
  return async () => ({
    originalReady: original?.isThere === true,
    turns: { starts: pace.starts, guests: pace.guests, provisions: pace.provisions },
    workers: workers.figures(),
    guestLinks: traffic,
    keeper: {
      connected: keeper.connected,
      linkLosses: keeper.linkLosses,
      deaths: keeper.deaths,
      processes: keeper.inventory().processes.length,
      residentBytes: usedBy(keeper.pid)?.memory ?? 0,
    },
    watchers: others.watchers(),
    stuck: others.stuck(),
    images: await imagesKept(),
    templates: await templatesKept(),
    spans: others.spans(),
    reconcile: others.reconcile(),
  });
}

/** A store that cannot be read has nothing to tell. */
function readNowAndThen(list: () => Promise<readonly { readonly bytes: number }[] | undefined>) {
  let last: Promise<Kept | undefined> = Promise.resolve(undefined);
  let readAt = Number.NEGATIVE_INFINITY;
  return (): Promise<Kept | undefined> => {
    if (performance.now() - readAt < KEPT_MS) return last;
    readAt = performance.now();
    last = list().then(
      (all) => all && { count: all.length, bytes: all.reduce((sum, { bytes }) => sum + bytes, 0) },
      () => undefined,
    );
    return last;
  };
}

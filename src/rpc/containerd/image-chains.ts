/**
 * Which chains belong to OCI images: read from the labels by which containerd's garbage collector finds its way.
 *
 * A manifest has a label for each of its blobs (core/images/handlers.go, ChildGCLabels). A configuration whose layers are
 * unpacked has a label with the top of its chain for each snapshotter (core/unpack/unpacker.go, client/image.go). So no
 * blob has to be read, and an image of several platforms leads to the one that is unpacked.
 */
import { BlazarError, blazarError } from "../../contracts/errors.ts";
import type { Chain, UnpackedChain } from "../../contracts/snapshots.ts";
import { ContentService, type Info } from "../generated/containerd/services/content/v1/content.ts";
import { ImagesService } from "../generated/containerd/services/images/v1/images.ts";
import { fromTimestamp } from "../timestamps.ts";
import type { ContainerdConnection } from "./connection.ts";

const SNAPSHOT_LABEL = "containerd.io/gc.ref.snapshot.";
const CONTENT_LABEL = "containerd.io/gc.ref.content";
/** Blobs of layers, which lead nowhere. */
const LAYER_LABEL = `${CONTENT_LABEL}.l.`;
/** An index, its manifests and their configurations are three. */
const MOST_STEPS = 5;
const MOST_BLOBS = 256;

type Labels = Readonly<Record<string, string>>;
type Connection = Pick<ContainerdConnection, "call" | "collect">;

/** The tops of all unpacked images. A chain of several images is there once, with the latest time. */
export async function listChains(
  connection: Connection,
  snapshotter: string,
  signal: AbortSignal | undefined,
): Promise<UnpackedChain[]> {
  const label = SNAPSHOT_LABEL + snapshotter;
  const filters = [`labels.${JSON.stringify(label)}`];
  const chains = new Map<string, UnpackedChain>();
  for (const { info } of await connection.collect(ContentService.list, { filters }, { signal })) {
    for (const { labels, updatedAt } of info) {
      const name = labels[label] ?? "";
      const unpackedAt = fromTimestamp(updatedAt);
      const known = chains.get(name);
      // an image without layers has no top
      if (name !== "" && (known === undefined || known.unpackedAt < unpackedAt))
        chains.set(name, { snapshotter, name, unpackedAt });
    }
  }
  return [...chains.values()];
}

/** The chain of the image of this name. */
export async function chainOfImage(
  connection: Connection,
  reference: string,
  snapshotter: string,
  signal: AbortSignal | undefined,
): Promise<Chain> {
  const target = await targetOf(connection, reference, signal);
  const seen = new Set<string>();
  let blobs = [target];
  for (let step = 0; step < MOST_STEPS && blobs.length > 0; step++) {
    const next: string[] = [];
    for (const digest of blobs) {
      if (seen.has(digest) || seen.size >= MOST_BLOBS) continue;
      seen.add(digest);
      const labels: Labels = (await infoOf(connection, digest, signal))?.labels ?? {};
      const name = labels[SNAPSHOT_LABEL + snapshotter];
      if (name !== undefined && name !== "") return { snapshotter, name };
      next.push(...childrenOf(labels));
    }
    blobs = next;
  }
  const remedy = `pull it for the snapshotter ${snapshotter}`;
  const reason = `it is not unpacked for ${snapshotter}`;
  throw blazarError("RemoteFailedPrecondition", "find the layers of an OCI image", reason, {
    subject: reference,
    remedy,
  });
}

async function targetOf(
  connection: Connection,
  name: string,
  signal: AbortSignal | undefined,
): Promise<string> {
  try {
    const { image } = await connection.call(ImagesService.get, { name }, { signal });
    return image?.target?.digest ?? "";
  } catch (cause) {
    if (!(cause instanceof BlazarError && cause.code === "RemoteNotFound")) throw cause;
    const remedy = "give the full name, as `ctr -n k8s.io images ls` shows it";
    const about = { subject: name, remedy, cause };
    throw blazarError("RemoteNotFound", "find an OCI image", "containerd has none of this name", about);
  }
}

/** Undefined for a blob that was not fetched: another platform's, for example. */
async function infoOf(
  connection: Connection,
  digest: string,
  signal: AbortSignal | undefined,
): Promise<Info | undefined> {
  try {
    return (await connection.call(ContentService.info, { digest }, { signal })).info;
  } catch (error) {
    if (error instanceof BlazarError && error.code === "RemoteNotFound") return undefined;
    throw error;
  }
}

function childrenOf(labels: Labels): string[] {
  return Object.entries(labels)
    .filter(([label]) => label.startsWith(CONTENT_LABEL) && !label.startsWith(LAYER_LABEL))
    .map(([, digest]) => digest);
}

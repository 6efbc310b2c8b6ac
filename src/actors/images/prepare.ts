/**
 * Makes the image of an OCI image or of a chain, from layers that containerd keeps meanwhile.
 */
import type { ImageStore, LayerImage } from "../../contracts/images.ts";
import type { Chain, Snapshots } from "../../contracts/snapshots.ts";
import { layersOf, type ReadLower, SNAPSHOTTER } from "./chains.ts";

export interface PreparePorts {
  readonly snapshots: Pick<Snapshots, "ofImage" | "open">;
  readonly images: Pick<ImageStore, "prepare">;
  readonly readLower: ReadLower;
}

/** Makes the image of the OCI image of this full name, unless it is there. Throws what the two ports throw. */
export async function prepareImage(
  reference: string,
  ports: PreparePorts,
  signal?: AbortSignal,
): Promise<LayerImage> {
  return prepareChain(await ports.snapshots.ofImage(reference, SNAPSHOTTER, signal), ports, signal);
}

/** Makes the image of a chain, unless it is there. */
export async function prepareChain(
  chain: Chain,
  {
    snapshots,
    images,
    readLower,
  }: Omit<PreparePorts, "snapshots"> & {
    readonly snapshots: Pick<Snapshots, "open">;
  },
  signal?: AbortSignal,
): Promise<LayerImage> {
  const open = await snapshots.open(chain, signal);
  try {
    return await images.prepare(layersOf(chain, open, readLower), signal);
  } finally {
    await open.release();
  }
}

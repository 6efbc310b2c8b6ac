import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { describeImages } from "../../../support/conformance/images.ts";
import { IMAGE_SIZE, ImageDisk, MemoryImages } from "../../../support/memory-host/images.ts";

describeImages("a store of images in memory", async () => {
  const directory = await mkdtemp(path.join(tmpdir(), "blazar-images-"));
  const disk = new ImageDisk();
  return {
    store: new MemoryImages({ disk }),
    directory,
    other: (state) => new MemoryImages({ disk, ...(state === "own" ? { stateDirectory: "/other" } : {}) }),
    sizeOf: async () => IMAGE_SIZE,
    dispose: () => rm(directory, { recursive: true, force: true }),
  };
});

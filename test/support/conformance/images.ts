/**
 * What every store of images does: run against the real one and against the memory host's.
 */
import { mkdir, rename, rm, stat, utimes, writeFile } from "node:fs/promises";
import path from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { type ImageStore, type LayerImage, SLOT_BYTES } from "../../../src/contracts/images.ts";

export interface ImagesBench {
  readonly store: ImageStore;
  /** Where the suite makes layers. */
  readonly directory: string;
  /** A second store with the same images, as another daemon would open it: a later one, or one with a state of its own. */
  other(state?: "own"): ImageStore;
  /** The apparent size of an image's file. */
  sizeOf(image: LayerImage): Promise<number>;
  dispose(): Promise<void>;
}

const ABSENT = "f".repeat(64);

export function describeImages(name: string, open: () => Promise<ImagesBench>): void {
  describe(name, () => {
    let bench: ImagesBench;
    beforeEach(async () => {
      bench = await open();
    });
    afterEach(() => bench.dispose());

    async function layer(text: string, called: string = text): Promise<string> {
      const made = path.join(bench.directory, called);
      await mkdir(made, { recursive: true });
      await writeFile(path.join(made, "file"), text);
      return made;
    }

    it("makes an image of a chain once, of the size that every slot has", async () => {
      const lower = [await layer("top"), await layer("base")];
      const [image, same] = await Promise.all([bench.store.prepare(lower), bench.store.prepare(lower)]);
      expect(same.key).toBe(image.key);
      expect(await bench.sizeOf(image)).toBe(SLOT_BYTES);
      expect(image.bytes).toBeLessThan(2 ** 20);
      expect((await bench.store.list()).map(({ key }) => key)).toEqual([image.key]);
      await bench.store.verify(image.key);
    });

    it("gives a small image to the first who asks, and knows who holds it", async () => {
      const lease = await bench.store.use([await layer("small")], "c1");
      expect(lease?.image.key).toMatch(/^[0-9a-f]{64}$/);
      const [image] = await bench.store.list();
      expect(image?.holders).toEqual(["c1"]);
    });

    it("gives a lease by its key on an image that is there, and makes none", async () => {
      const { key } = await bench.store.prepare([await layer("held")]);
      expect(await bench.store.hold(ABSENT, "vm")).toBeUndefined();
      const lease = await bench.store.hold(key, "vm");
      expect(lease?.image.key).toBe(key);
      await expect(bench.other().remove(key)).rejects.toMatchObject({ code: "ImageInUse" });
      await lease?.release();
      await bench.store.remove(key);
      expect(await bench.store.hold(key, "vm")).toBeUndefined();
    });

    it("has another key for a directory of the same name and inode number that was made again", async () => {
      const made = await layer("one", "snapshot");
      const { ino } = await stat(made);
      const first = await bench.store.prepare([made]);
      const again = await sameInode(made, ino, () => layer("two", "snapshot"));
      const second = await bench.store.prepare([made]);
      expect(second.key, again ? "same inode" : "another inode").not.toBe(first.key);
    });

    it("has another key for the same layers in another order", async () => {
      const [a, b] = [await layer("a"), await layer("b")];
      expect((await bench.store.prepare([a, b])).key).not.toBe((await bench.store.prepare([b, a])).key);
    });

    it("does not remove an image that a holder has, in this store or another", async () => {
      const lower = [await layer("held")];
      const { key } = await bench.store.prepare(lower);
      const lease = await bench.store.use(lower, "c1");
      await bench.other().use(lower, "c2");
      await expect(bench.other().remove(key)).rejects.toMatchObject({ code: "ImageInUse" });
      await lease?.release();
      await lease?.release();
      await expect(bench.store.remove(key)).rejects.toMatchObject({ code: "ImageInUse" });
      // a daemon that comes later gives back what an earlier one's container had
      await bench.store.release(key, "c2");
      await bench.store.release(key, "c2");
      await bench.store.remove(key);
      await expect(bench.store.remove(key)).rejects.toMatchObject({ code: "ImageNotFound" });
      await bench.store.release(key, "c2");
    });

    it("gives back what earlier daemons have lost, and nothing of another daemon's", async () => {
      const lower = [await layer("lost")];
      const { key } = await bench.store.prepare(lower);
      for (const holder of ["c1", "c2"]) await bench.store.use(lower, holder);
      await bench.other("own").use(lower, "c3");
      const later = bench.other();
      expect(await later.releaseLost(new Set(["c2"]))).toEqual(["c1"]);
      const [image] = await bench.store.list();
      expect(image?.holders.toSorted()).toEqual(["c2", "c3"]);
      expect(await later.releaseLost(new Set())).toEqual(["c2"]);
      await expect(later.remove(key)).rejects.toMatchObject({ code: "ImageInUse" });
      expect(await bench.other("own").releaseLost(new Set())).toEqual(["c3"]);
      await later.remove(key);
    });

    it("lists the last used first", async () => {
      const [a, b] = [[await layer("a")], [await layer("b")]];
      const [first, second] = [await bench.store.prepare(a), await bench.store.prepare(b)];
      await bench.store.use(a, "c1");
      expect((await bench.store.list()).map(({ key }) => key)).toEqual([first.key, second.key]);
    });

    it("goes without an image of layers that are not there, and says so to who prepares one", async () => {
      const missing = [path.join(bench.directory, "missing")];
      expect(await bench.store.use(missing, "c1")).toBeUndefined();
      await expect(bench.store.prepare(missing)).rejects.toMatchObject({ code: "InvalidRootfs" });
    });

    it("knows no image of a key that it has never given", async () => {
      await expect(bench.store.verify(ABSENT)).rejects.toMatchObject({ code: "ImageNotFound" });
      await expect(bench.store.remove("../x")).rejects.toMatchObject({ code: "ImageNotFound" });
    });

    it("leaves no lease to a holder that gave up", async () => {
      const lower = [await layer("given up")];
      const { key } = await bench.store.prepare(lower);
      await expect(bench.store.use(lower, "c1", AbortSignal.abort())).rejects.toMatchObject({
        code: "Cancelled",
      });
      // it may be given, and given back, after the call was called off: an image that is held cannot be removed
      const removed = () => bench.store.remove(key).then(() => "removed", String);
      await expect.poll(removed).toBe("removed");
    });
  });
}

/** Makes a directory again until it has its old inode number, as ext4 gives it; false if it never has. */
async function sameInode(directory: string, inode: number, make: () => Promise<string>): Promise<boolean> {
  const times = await stat(directory);
  for (let attempt = 0; attempt < 20; attempt++) {
    const aside = `${directory}-${attempt}`;
    await rename(directory, aside);
    await rm(aside, { recursive: true });
    await make();
    await utimes(directory, times.atime, times.mtime);
    if ((await stat(directory)).ino === inode) return true;
  }
  return false;
}

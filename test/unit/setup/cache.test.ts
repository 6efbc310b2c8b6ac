/** The cache: whole entries only, one set-up at a time. */
import { existsSync } from "node:fs";
import { mkdir, mkdtemp, open, readdir, readFile, rm, truncate, utimes, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { Cache, contentKey } from "../../../setup/lib/cache.ts";
import { withLock } from "../../../setup/lib/lock.ts";
import { findExtents } from "../../../setup/steps/empty-ext4.ts";

let directory: string;
let cache: Cache;
beforeEach(async () => {
  directory = await mkdtemp(path.join(tmpdir(), "blazar-cache-"));
  cache = new Cache(directory);
});
afterEach(() => rm(directory, { recursive: true }));

const fillWith = (text: string) => (entry: string) => writeFile(path.join(entry, "file"), text);

describe("an entry", () => {
  test("is filled once", async () => {
    await cache.ensure("kind", "key", fillWith("first"));
    const entry = await cache.ensure("kind", "key", fillWith("second"));
    expect(await readFile(path.join(entry, "file"), "utf8")).toBe("first");
  });

  test("does not exist while it is being filled, nor after that failed", async () => {
    const failing = async (entry: string): Promise<void> => {
      await fillWith("half")(entry);
      expect(cache.has("kind", "key")).toBe(false);
      throw new Error("out of paper");
    };
    await expect(cache.ensure("kind", "key", failing)).rejects.toThrow("out of paper");
    expect(cache.has("kind", "key")).toBe(false);
    expect(await readdir(path.join(directory, "partial"))).toEqual([]);
  });

  test("of a set-up that crashed is swept away", async () => {
    const crashed = path.join(directory, "partial", "kind-key");
    await mkdir(crashed, { recursive: true });
    await fillWith("half")(crashed);
    await cache.sweep();
    expect(existsSync(crashed)).toBe(false);
  });

  test("that was used last outlives older ones", async () => {
    for (let index = 0; index < 9; index++) {
      const entry = await cache.ensure("kind", `key${index}`, fillWith("x"));
      await utimes(entry, index, index);
    }
    await cache.ensure("kind", "key0", fillWith("x"));
    await cache.prune("kind");
    const kept = await readdir(path.join(directory, "kind"));
    expect(kept).toContain("key0");
    expect(kept).toContain("key8");
    expect(kept).not.toContain("key1");
  });
});

describe("a key", () => {
  test("tells apart what runs together", () => {
    expect(contentKey(["ab", "c"])).not.toBe(contentKey(["a", "bc"]));
    expect(contentKey(["a"])).toBe(contentKey([Buffer.from("a")]));
  });
});

describe("the lock", () => {
  test("lets a second set-up wait for the first", async () => {
    const events: string[] = [];
    let waits = (): void => {};
    const waiting = new Promise<void>((resolve) => {
      waits = resolve;
    });
    const first = withLock(
      directory,
      () => {},
      async () => {
        const second = withLock(directory, waits, async () => void events.push("second"));
        await waiting;
        events.push("first");
        return { second };
      },
    );
    await (await first).second;
    expect(events).toEqual(["first", "second"]);
  });

  test("is free again after a failure", async () => {
    const failing = withLock(
      directory,
      () => {},
      () => Promise.reject(new Error("no")),
    );
    await expect(failing).rejects.toThrow("no");
    const waited: string[] = [];
    await withLock(
      directory,
      () => waited.push("waited"),
      async () => {},
    );
    expect(waited).toEqual([]);
  });
});

describe("the extents of a sparse file", () => {
  test("are the blocks that are not zero", async () => {
    const image = path.join(directory, "image");
    await writeFile(image, Buffer.alloc(4096, 1));
    await truncate(image, 64 << 20);
    const file = await open(image, "r+");
    await file.write(Buffer.alloc(4096, 0), 0, 4096, 1 << 20);
    await file.write(Buffer.alloc(8192, 2), 0, 8192, 32 << 20);
    await file.close();
    expect(await findExtents(image)).toEqual({
      size: 64 << 20,
      extents: [
        [0, 4096],
        [32 << 20, 8192],
      ],
    });
  });
});

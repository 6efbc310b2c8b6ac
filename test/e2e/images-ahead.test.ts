/** A daemon makes the image of what containerd has unpacked, before there is any pod, and goes on after it was killed. */
import { readdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { until } from "../../lab/host/until.ts";
import { busyboxImage } from "../../lab/images/busybox.ts";
import { TestNode } from "../support/e2e/node.ts";
import { built } from "../support/e2e/program.ts";

const isRoot = process.getuid?.() === 0;
let test: TestNode;

/** The images that are whole. */
async function images(): Promise<string[]> {
  const names = await readdir(join(test.node.directory, "images")).catch(() => []);
  return names.filter((name) => /^[0-9a-f]{64}$/.test(name)).sort();
}

/** Waits until there are so many. */
function thereAre(count: number): Promise<string[]> {
  const ask = async () => {
    const found = await images();
    return found.length >= count ? found : undefined;
  };
  return until(`${count} images`, ask, { timeoutMs: 60_000 });
}

async function leases(): Promise<string> {
  const { containerd } = test.node;
  return (await containerd.ctr("leases", "ls", "-q")) + (await containerd.ctr("snapshots", "ls"));
}

/** Imports busybox with one more layer, so that it is a chain of its own. */
async function importMore(name: string): Promise<void> {
  const image = await busyboxImage(`localhost/blazar/${name}:latest`, built().busybox);
  const layer = [{ path: `only-in-${name}`, content: name }];
  await test.node.containerd.importImage({ ...image, layers: [...image.layers, layer] });
}

describe.runIf(isRoot)("images made ahead by a daemon", () => {
  beforeAll(async () => {
    test = await TestNode.start({ config: { image: { ahead_existing: 1 } } });
  });

  afterAll(async () => {
    await test?.stop();
  });

  it("are there without a pod, and nothing of it is left in containerd", async () => {
    const [key = ""] = await thereAre(1);
    const manifest = await readFile(join(test.node.directory, "images", key, "image.json"), "utf8");
    expect(JSON.parse(manifest)).toMatchObject({
      lower: [expect.stringContaining("io.containerd.snapshotter.v1.overlayfs")],
    });
    const gone = async () => ((await leases()).includes("blazar-image-") ? undefined : true);
    await until("the view to go", gone, { timeoutMs: 10_000 });
  });

  it("come one for each OCI image, and not one for each layer", async () => {
    await importMore("second");
    const keys = await thereAre(2);
    expect(keys).toHaveLength(2);
  });

  it("go on after the daemon was killed and containerd restarted", async () => {
    await test.node.restartBlazard({ kill: true });
    await test.node.containerd.restart({ kill: true });
    await importMore("third");
    expect(await thereAre(3)).toHaveLength(3);
    const complaints = ["could not be made ahead", "does not tell of new images"];
    const lines = (await readFile(test.node.blazardLog, "utf8")).split("\n");
    expect(lines.filter((line) => complaints.some((each) => line.includes(each)))).toEqual([]);
  });
});

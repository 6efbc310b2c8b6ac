/** A daemon makes the image of what containerd has unpacked, before there is any pod, and goes on after it was killed. */
import { execFile } from "node:child_process";
import { readdir, readFile, stat, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { promisify } from "node:util";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { until } from "../../lab/host/until.ts";
import { busyboxImage } from "../../lab/images/busybox.ts";
import { TestNode } from "../support/e2e/node.ts";
import { blazarProgram, built } from "../support/e2e/program.ts";

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

/** Runs `blazar image prepare` with the node's configuration. */
function prepare(name: string) {
  const words = [blazarProgram(), "image", "prepare", name];
  const config = join(test.node.directory, "blazar.toml");
  return promisify(execFile)(process.execPath, [...words, "--config", config]);
}

/** Marks of leases as a daemon leaves them that dies right after: one of the node's daemon, one of another's. */
async function leaveLeases(key: string): Promise<() => Promise<string[]>> {
  const image = join(test.node.directory, "images", key);
  const boot = (await readFile("/proc/sys/kernel/random/boot_id", "utf8")).trim();
  const { dev, ino } = await stat(test.node.stateDirectory);
  await writeFile(join(image, "held.lost"), `${boot} ${dev}:${ino}`);
  await writeFile(join(image, "held.another"), `${boot} 1:1`);
  return async () => (await readdir(image)).filter((name) => name.startsWith("held.")).sort();
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
    const [key = ""] = await images();
    const leasesOn = await leaveLeases(key);
    expect(await leasesOn()).toEqual(["held.another", "held.lost"]);
    await test.node.restartBlazard({ kill: true });
    expect(await leasesOn()).toEqual(["held.another"]);
    await test.node.containerd.restart({ kill: true });
    await importMore("third");
    expect(await thereAre(3)).toHaveLength(3);
    const complaints = ["could not be made ahead", "does not tell of new images", "Warning: "];
    const lines = (await readFile(test.node.blazardLog, "utf8")).split("\n");
    expect(lines.filter((line) => complaints.some((each) => line.includes(each)))).toEqual([]);
  });

  it("are made by hand where no daemon makes them, of an OCI image by its name", async () => {
    await test.node.restartBlazard({ config: { image: { ahead: false } } });
    await importMore("fourth");
    const before = await images();
    const { stdout } = await prepare("localhost/blazar/fourth:latest");
    expect(await images()).toEqual([...before, stdout.trim()].sort());
    expect(before).not.toContain(stdout.trim());
    expect(await prepare("localhost/blazar/fourth:latest")).toMatchObject({ stdout });
    await expect(prepare("localhost/blazar/none:latest")).rejects.toMatchObject({
      code: 70,
      stderr: expect.stringContaining("localhost/blazar/none:latest"),
    });
    expect(await leases()).not.toContain("blazar-image-");
  });
});

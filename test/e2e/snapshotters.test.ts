/**
 * Containers on containerd's real `erofs` and `blockfile` snapshotters: their layers are disks already.
 *
 * Each snapshotter has a runtime handler of its own, so that one containerd serves them all. The host's kernel mounts what
 * the snapshotters give (erofs, loop devices); containerd unpacks the layers with them.
 */
import { execFile } from "node:child_process";
import { mkdir, mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { delimiter, join } from "node:path";
import { promisify } from "node:util";
import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest";
import { mountsBelow } from "../../lab/host/mounts.ts";
import { busyboxImage } from "../../lab/images/busybox.ts";
import type { ImageSpec } from "../../lab/images/image-builder.ts";
import { TestNode } from "../support/e2e/node.ts";
import { built } from "../support/e2e/program.ts";
import { numberedLayers, whiteout, withLayers } from "../support/oci-image.ts";

const run = promisify(execFile);

const FEW = "localhost/blazar/few-layers:latest";
const ONE = "localhost/blazar/one-layer:latest";
const MANY = "localhost/blazar/many-layers:latest";
const MANY_LAYERS = 110;
const MIB = 2 ** 20;

let node: TestNode;
/** Has the empty disk that blockfile copies. */
let directory: string;

/** A handler for each snapshotter. */
function handlers(scratchFile: string): string {
  const handler = (snapshotter: string) => `
[plugins.'io.containerd.cri.v1.runtime'.containerd.runtimes.blazar-${snapshotter}]
  runtime_type = 'io.containerd.blazar.v1'
  sandboxer = 'blazar'
  snapshotter = '${snapshotter}'
`;
  return `${handler("erofs")}${handler("blockfile")}
[plugins.'io.containerd.service.v1.diff-service']
  default = ['erofs', 'walking']
[plugins.'io.containerd.snapshotter.v1.blockfile']
  scratch_file = '${scratchFile}'
  fs_type = 'ext4'
  mount_options = ['loop']
`;
}

beforeAll(async () => {
  const { erofsUtils, busybox } = built();
  if (erofsUtils === null) throw new Error("set-up has no mkfs.erofs: see its warnings");
  // containerd's snapshotter and differ run mkfs.erofs
  process.env["PATH"] = `${erofsUtils.bin}${delimiter}${process.env["PATH"] ?? ""}`;
  directory = await mkdtemp(join(tmpdir(), "blazar-scratch-"));
  const scratch = join(directory, "scratch.ext4");
  await run("truncate", ["-s", "64M", scratch]);
  await run("mkfs.ext4", ["-q", "-m", "0", scratch]);
  node = await TestNode.start({ containerdConfig: handlers(scratch) });
  const base = await busyboxImage(FEW, busybox);
  const images: ImageSpec[] = [
    withLayers(base, FEW, ...numberedLayers(3), [
      whiteout("layers/1"),
      { path: "etc/own", uid: 7, gid: 8, mode: 0o640 },
    ]),
    { ...base, name: ONE },
    withLayers(base, MANY, ...numberedLayers(MANY_LAYERS)),
  ];
  for (const image of images) await node.node.containerd.importImage(image);
});

afterEach(async () => {
  await node.stopAll();
  expect(await node.leftovers()).toEqual([]);
});

afterAll(async () => {
  await node.stop();
  await rm(directory, { recursive: true });
});

/** Overlays that blazard has mounted on the host to be shared: none where layers are disks. */
async function sharedLayers(): Promise<string[]> {
  return (await mountsBelow(node.node.stateDirectory)).filter((mount) => mount.includes("rootfs"));
}

function start(handler: string, image: string, command: string) {
  return node.runPod({ handler }).then((pod) => node.startContainer(pod, command, { image: { image } }));
}

describe("the erofs snapshotter", () => {
  it("gives a root of several layers, with what an upper layer has taken away", async () => {
    const container = await start("blazar-erofs", FEW, "exec sleep 1000");
    const seen = await node.exec(container, "cat /top; ls /layers; stat -c '%u %g %a' /etc/own");
    expect(seen).toEqual({ code: 0, stdout: "2\n0\n2\n7 8 640\n", stderr: "" });
    expect(await sharedLayers()).toEqual([]);
  });

  it("gives a root of a single layer", async () => {
    const container = await start("blazar-erofs", ONE, "exec sleep 1000");
    expect(await node.exec(container, "busybox true && ls -d /etc")).toMatchObject({ stdout: "/etc\n" });
    expect(await sharedLayers()).toEqual([]);
  });

  it(`gives a root of ${MANY_LAYERS} layers`, async () => {
    const container = await start("blazar-erofs", MANY, "exec sleep 1000");
    expect((await node.exec(container, "cat /top; ls /layers | wc -l")).stdout).toBe(
      `${MANY_LAYERS - 1}\n${MANY_LAYERS}\n`,
    );
  });

  it("keeps what two containers of one image write apart, and containerd counts it", async () => {
    const pod = await node.runPod({ handler: "blazar-erofs" });
    const image = { image: { image: FEW } };
    const one = await node.startContainer(pod, "exec sleep 1000", image);
    const two = await node.startContainer(pod, "exec sleep 1000", image);
    const write = "echo mine > /top; rm /layers/0; dd if=/dev/zero of=/big bs=1M count=8; sync";
    expect(await node.exec(one, write)).toMatchObject({ code: 0 });
    expect(await sharedLayers()).toEqual([]);
    expect((await node.exec(one, "cat /top; ls /layers")).stdout).toBe("mine\n2\n");
    expect((await node.exec(two, "cat /top; ls /layers")).stdout).toBe("2\n0\n2\n");
    const [key] = (await node.node.containerd.ctr("snapshots", "--snapshotter", "erofs", "ls"))
      .split("\n")
      .filter((line) => line.startsWith(one.id));
    expect(key).toMatch(/Active/);
    const usage = await node.node.containerd.ctr(
      "snapshots",
      "--snapshotter",
      "erofs",
      "usage",
      "-b",
      one.id,
    );
    expect(Number(usage.trim().split("\n").at(-1)?.split(/\s+/)[1])).toBeGreaterThan(8 * MIB);
  });
});

describe("the blockfile snapshotter", () => {
  it("gives a disk that is the container's whole root, and has what it wrote", async () => {
    const container = await start("blazar-blockfile", FEW, "exec sleep 1000");
    const write = "cat /top; ls /layers; echo kept > /written; grep ' / ' /proc/mounts; sync";
    const { code, stdout } = await node.exec(container, write);
    expect({ code, stdout }).toEqual({ code: 0, stdout: expect.stringMatching(/^2\n0\n2\n\S+ \/ ext4 rw/) });
    await node.cri.stopContainer(container.id);
    expect(await readSnapshot(container.id, "written")).toBe("kept\n");
  });
});

/** Reads a file of a stopped container's blockfile snapshot, as the host's kernel sees it. */
async function readSnapshot(key: string, file: string): Promise<string> {
  const target = join(node.node.directory, "look");
  await mkdir(target);
  const mounts = await node.node.containerd.ctr(
    "snapshots",
    "--snapshotter",
    "blockfile",
    "mounts",
    target,
    key,
  );
  const [, source] = /mount -t ext4 (\S+)/.exec(mounts) ?? [];
  if (source === undefined) throw new Error(`no ext4 mount in: ${mounts}`);
  await run("mount", ["-t", "ext4", "-o", "loop", source, target]);
  try {
    return await readFile(join(target, file), "utf8");
  } finally {
    await run("umount", [target]);
    await rm(target, { recursive: true });
  }
}

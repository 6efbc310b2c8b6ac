/** Images are made ahead one at a time, while nothing else is done, and a failure costs nothing but a line of the log. */
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { ImagesAhead } from "../../../../src/actors/images/images-ahead.actor.ts";
import { prepareImage } from "../../../../src/actors/images/prepare.ts";
import { Pace } from "../../../../src/actors/supply/pace.ts";
import { blazarError, type ErrorCode } from "../../../../src/contracts/errors.ts";
import type { LayerImage } from "../../../../src/contracts/images.ts";
import type { RootfsMount } from "../../../../src/contracts/task.ts";
import { abortable, type Deferred, deferred } from "../../../../src/lib/async.ts";
import { CapturedLogger } from "../../../support/captured-logger.ts";
import { FakeSnapshots } from "../../../support/fake-snapshots.ts";

const DEADLINE_MS = 60_000;
/** Longer than it takes to settle, to see a pause, and to look a second time. */
const A_WHILE_MS = 15_000;

/** A store whose images take as long as the test says. */
class SlowStore {
  readonly asked: (readonly string[])[] = [];
  readonly builds: Deferred<void>[] = [];
  atOnce = 0;
  most = 0;

  async prepare(lower: readonly string[], signal?: AbortSignal): Promise<LayerImage> {
    this.asked.push(lower);
    const build = deferred<void>();
    this.builds.push(build);
    this.most = Math.max(this.most, ++this.atOnce);
    try {
      await abortable(build.promise, signal, { operation: "make an image" });
    } finally {
      this.atOnce--;
    }
    const now = new Date();
    const times = { createdAt: now, lastUsedAt: now };
    return { key: "k", path: "/images/k", bytes: 1, lower, holders: [], ...times };
  }

  finish(build: number): void {
    this.builds[build]?.resolve();
  }

  fail(build: number, code: ErrorCode): void {
    this.builds[build]?.reject(blazarError(code, "make an image", "the test says so"));
  }
}

const readLower = (mounts: readonly RootfsMount[]) => mounts.map(({ source }) => source);
let opened: ImagesAhead | undefined;

function ahead(existing = 0) {
  const snapshots = new FakeSnapshots();
  const images = new SlowStore();
  const logger = new CapturedLogger();
  const pace = new Pace(1, Date.now);
  const deadlines = { imageAhead: DEADLINE_MS };
  const ports = { snapshots, images, readLower, pace, deadlines, logger, now: Date.now };
  const actor = new ImagesAhead(ports, { existing });
  opened = actor;
  const warnings = () => logger.lines.filter(({ level }) => level === "warn");
  return { snapshots, images, pace, actor, warnings };
}

const passing = (ms: number) => vi.advanceTimersByTimeAsync(ms);

beforeEach(() => {
  vi.useFakeTimers({ now: 1_000_000 });
});

afterEach(async () => {
  await opened?.close();
  opened = undefined;
  vi.useRealTimers();
});

describe("images that are made ahead", () => {
  it("are made of the top of an OCI image alone, after the last of its layers", async () => {
    const { snapshots, images, actor } = ahead();
    actor.start();
    snapshots.emit("connected");
    for (let layer = 0; layer < 20; layer++) {
      snapshots.emit("layer");
      await passing(300);
    }
    expect(images.asked).toEqual([]);
    snapshots.unpack("top", new Date());
    await passing(A_WHILE_MS);
    expect(images.asked).toEqual([["/layers/top"]]);
    expect(snapshots.opened).toEqual(["top"]);
    images.finish(0);
    await passing(0);
    expect(snapshots.opened).toEqual([]);
  });

  it("are made as well when containerd notes the top long after the last event", async () => {
    const { snapshots, images, actor } = ahead();
    actor.start();
    snapshots.emit("layer");
    await passing(5_000);
    snapshots.unpacked.set("top", { snapshotter: "overlayfs", name: "top", unpackedAt: new Date() });
    await passing(A_WHILE_MS);
    expect(images.asked).toEqual([["/layers/top"]]);
  });

  it("are made one at a time, in the order of unpacking", async () => {
    const { snapshots, images, actor } = ahead();
    actor.start();
    snapshots.unpack("b", new Date(Date.now() + 2));
    snapshots.unpack("a", new Date(Date.now() + 1));
    await passing(A_WHILE_MS);
    expect(images.asked).toEqual([["/layers/a"]]);
    images.finish(0);
    await passing(A_WHILE_MS);
    images.finish(1);
    await passing(A_WHILE_MS);
    expect(images.asked).toEqual([["/layers/a"], ["/layers/b"]]);
    expect(images.most).toBe(1);
  });

  it("wait for a pause of the node, and keep no layers meanwhile", async () => {
    const { snapshots, images, actor, pace } = ahead();
    const start = deferred<void>();
    const starting = pace.activity.during(() => start.promise);
    actor.start();
    snapshots.unpack("a", new Date());
    await passing(A_WHILE_MS);
    expect(images.asked).toEqual([]);
    expect(snapshots.opened).toEqual([]);
    start.resolve();
    await starting;
    await passing(1_000);
    expect(images.asked).toEqual([["/layers/a"]]);
  });

  it("of before the start are as many as configured", async () => {
    const { snapshots, images, actor } = ahead(1);
    snapshots.unpack("older", new Date(1));
    snapshots.unpack("old", new Date(2));
    actor.start();
    snapshots.emit("connected");
    await passing(A_WHILE_MS);
    images.finish(0);
    await passing(A_WHILE_MS);
    expect(images.asked).toEqual([["/layers/old"]]);
  });

  it("are given up when their OCI image is removed, without a word", async () => {
    const { snapshots, images, actor, warnings } = ahead();
    actor.start();
    snapshots.unpack("a", new Date());
    await passing(A_WHILE_MS);
    expect(images.atOnce).toBe(1);
    snapshots.unpacked.delete("a");
    snapshots.emit("image");
    await passing(A_WHILE_MS);
    expect(images.atOnce).toBe(0);
    expect(snapshots.opened).toEqual([]);
    expect(warnings()).toEqual([]);
  });

  it("that fail are told once, and not tried again before the next pull", async () => {
    const { snapshots, images, actor, warnings } = ahead();
    actor.start();
    snapshots.unpack("a", new Date());
    await passing(A_WHILE_MS);
    images.fail(0, "StorageFailed");
    await passing(0);
    snapshots.emit("image");
    await passing(A_WHILE_MS);
    expect(images.asked).toHaveLength(1);
    expect(warnings()).toHaveLength(1);
    snapshots.unpack("a", new Date());
    await passing(A_WHILE_MS);
    expect(images.asked).toHaveLength(2);
  });

  it("are not made at all any more where the store makes none", async () => {
    const { snapshots, images, actor, warnings } = ahead();
    actor.start();
    snapshots.unpack("a", new Date());
    snapshots.unpack("b", new Date());
    await passing(A_WHILE_MS);
    images.fail(0, "DependencyMissing");
    await passing(A_WHILE_MS);
    expect(images.asked).toHaveLength(1);
    expect(warnings()).toHaveLength(1);
    expect(snapshots.subscribers).toBe(0);
  });

  it("that take too long are ended and told", async () => {
    const { snapshots, images, actor, warnings } = ahead();
    actor.start();
    snapshots.unpack("a", new Date());
    await passing(A_WHILE_MS + DEADLINE_MS);
    expect(images.atOnce).toBe(0);
    expect(snapshots.opened).toEqual([]);
    expect(warnings()).toEqual([
      expect.objectContaining({
        fields: expect.objectContaining({ err: expect.objectContaining({ code: "DeadlineExceeded" }) }),
      }),
    ]);
  });

  it("are made after containerd was away, and nothing is told of that", async () => {
    const { snapshots, images, actor, warnings } = ahead();
    const away = blazarError("RemoteUnavailable", "call containerd", "it is restarted");
    actor.start();
    snapshots.unpack("a", new Date());
    snapshots.faults.open = away;
    await passing(A_WHILE_MS);
    snapshots.faults.list = away;
    snapshots.emit("image");
    await passing(A_WHILE_MS);
    expect(images.asked).toEqual([]);
    snapshots.faults.open = undefined;
    snapshots.faults.list = undefined;
    snapshots.emit("connected");
    await passing(A_WHILE_MS);
    expect(images.asked).toEqual([["/layers/a"]]);
    expect(warnings()).toEqual([]);
  });

  it("are told once when containerd refuses to say what is unpacked", async () => {
    const { snapshots, actor, warnings } = ahead();
    actor.start();
    snapshots.faults.list = blazarError("PermissionDenied", "call containerd", "no");
    for (const change of ["connected", "image", "image"] as const) {
      snapshots.emit(change);
      await passing(A_WHILE_MS);
    }
    expect(warnings()).toHaveLength(1);
  });

  it("leave nothing behind when the daemon ends", async () => {
    const { snapshots, images, actor } = ahead();
    actor.start();
    snapshots.emit("connected");
    snapshots.unpack("a", new Date());
    await passing(A_WHILE_MS);
    expect(snapshots.opened).toEqual(["a"]);
    await actor.close();
    expect(snapshots.opened).toEqual([]);
    expect(images.atOnce).toBe(0);
    expect(snapshots.subscribers).toBe(0);
    expect(snapshots.tidied).toBe(1);
    expect(vi.getTimerCount()).toBe(0);
  });

  it("tidy up after an earlier daemon whenever containerd is there again", async () => {
    const { snapshots, actor } = ahead();
    actor.start();
    snapshots.emit("connected");
    snapshots.emit("layer");
    snapshots.emit("connected");
    await passing(A_WHILE_MS);
    expect(snapshots.tidied).toBe(2);
  });
});

describe("an image that is asked for by the name of its OCI image", () => {
  it("is made of that image's layers, which are let go afterwards", async () => {
    const { snapshots, images } = ahead();
    snapshots.unpack("top", new Date());
    snapshots.images.set("docker.io/library/busybox:latest", "top");
    const made = prepareImage("docker.io/library/busybox:latest", { snapshots, images, readLower });
    await passing(0);
    expect(snapshots.opened).toEqual(["top"]);
    images.finish(0);
    expect((await made).lower).toEqual(["/layers/top"]);
    expect(snapshots.opened).toEqual([]);
  });

  it("is refused where the snapshotter gives no directories", async () => {
    const { snapshots, images } = ahead();
    snapshots.unpack("top", new Date());
    snapshots.images.set("disk:latest", "top");
    const made = prepareImage("disk:latest", { snapshots, images, readLower: () => undefined });
    await expect(made).rejects.toMatchObject({ code: "InvalidRootfs" });
    expect(snapshots.opened).toEqual([]);
  });
});

import { execFileSync } from "node:child_process";
import { chmodSync, copyFileSync, existsSync, mkdirSync } from "node:fs";
import { mkdtemp, rm, stat } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { artifacts } from "../../../setup/steps/artifacts.ts";
import type { ImageStore } from "../../../src/contracts/images.ts";
import type { RootfsPlan } from "../../../src/contracts/storage.ts";
import { HostRootfsStore } from "../../../src/host/storage/rootfs-store.ts";
import { WorkerPool } from "../../../src/host/storage/worker-pool.ts";
import { translateSpec } from "../../../src/oci/spec/translate.ts";
import type { RootfsTasks } from "../../../src/workers/rootfs.worker.ts";
import { BareGuest } from "../../support/bare-guest.ts";
import { criSpec } from "../../support/cri-spec.ts";
import { makeErofs } from "../../support/erofs.ts";
import {
  buildFsSemantics,
  type CheckResult,
  parseChecks,
  writeImageFiles,
} from "../../support/fs-semantics/run.ts";
import { shareOf } from "../../support/share-of.ts";
import { bundleWorker, type WorkerBundle } from "../../support/worker-bundle.ts";

const isRoot = process.getuid?.() === 0;

/** What overlayfs itself does not promise; the same as on the host (storage-semantics.test.ts) but for the first. */
const OVERLAY_DEVIATIONS = [
  // overlayfs has O_TMPFILE since Linux 6.3, the guest's kernel is 6.1
  "unlinked/file_without_name_is_named_later",
  "attribute/handle_can_be_had",
  "image/reader_sees_a_later_write",
  "image/directory_is_renamed",
  "image/hard_links_stay_together",
];

describe.skipIf(!isRoot).each(["share", "image"] as const)("a container's root in a guest, by %s", (way) => {
  let base: string;
  let bundle: WorkerBundle;
  let pool: WorkerPool<RootfsTasks>;
  let store: HostRootfsStore;
  let guest: BareGuest;
  let plan: RootfsPlan;
  /** Who has a lease on the image. */
  const held = new Set<string>();

  /** A store with the image of these layers and no other. */
  async function storeOfOne(
    layers: readonly string[],
  ): Promise<Pick<ImageStore, "use" | "release" | "prepare">> {
    const view = path.join(base, "view");
    const lower = layers.map((name) => path.join(base, name));
    execFileSync("mount", ["-t", "overlay", "overlay", "-o", `lowerdir=${lower.join(":")}`, view]);
    const file = await makeErofs(view, path.join(base, "image.erofs"));
    execFileSync("umount", [view]);
    const release = async (_: string, holder: string) => void held.delete(holder);
    const times = { createdAt: new Date(), lastUsedAt: new Date() };
    return {
      release,
      prepare: async () => expect.fail("nothing waits for an image"),
      use: async (asked, holder) => {
        expect(asked).toEqual(lower);
        held.add(holder);
        const image = { key: "k", path: file, bytes: 1, lower, holders: [...held], ...times };
        return { image, release: () => release("k", holder) };
      },
    };
  }

  beforeAll(async () => {
    const { vmlinux, initramfs, emptyExt4 } = artifacts();
    base = await mkdtemp(path.join(tmpdir(), "blazar-storage-guest-"));
    bundle = await bundleWorker("rootfs");
    pool = new WorkerPool<RootfsTasks>({ file: bundle.file });
    for (const name of ["lower/fs-image", "program", "upper", "scratch", "vm", "view"])
      mkdirSync(path.join(base, name), { recursive: true });
    mkdirSync(path.join(base, "program/work"));
    await writeImageFiles(path.join(base, "lower/fs-image"));
    copyFileSync(await buildFsSemantics(base), path.join(base, "program/fs-semantics"));
    chmodSync(path.join(base, "program/fs-semantics"), 0o755);
    const images = way === "image" ? await storeOfOne(["program", "lower"]) : undefined;
    store = new HostRootfsStore({ workers: pool, empty: emptyExt4, images });
    guest = await BareGuest.launch({ directory: path.join(base, "vm"), vmlinux, initramfs });
    await guest.connect();
    plan = await store.plan({
      containerId: "c1",
      mounts: [
        {
          type: "overlay",
          source: "overlay",
          target: "",
          options: [
            `upperdir=${base}/upper`,
            `workdir=${base}/scratch`,
            `lowerdir=${base}/program:${base}/lower`,
          ],
        },
      ],
      shareDirectory: guest.share,
      scratchDirectory: path.join(base, "scratch"),
      owner: undefined,
    });
  });

  afterAll(async () => {
    await guest.kill();
    await store.release(plan);
    await pool.close();
    await bundle.remove();
    if (way === "share") expect(existsSync(shareOf(plan).directory)).toBe(false);
    expect(held.size).toBe(0);
    await rm(base, { recursive: true });
  });

  test("behaves as overlayfs on the host does, and its writes stay on its own disk", async () => {
    await store.apply(plan);
    expect(existsSync(path.join(guest.share, "c1"))).toBe(way === "share");
    const empty = (await stat(plan.disk.path)).blocks;
    await guest.plugDisk("d1", plan.disk.path);
    if (plan.lower?.kind === "image") await guest.plugDisk("i1", plan.lower.path, true);
    await guest.request("sandbox.setup", {
      sandboxId: "s1",
      hostname: "pod",
      hosts: "",
      resolvConf: "",
      now: Date.now(),
      entropy: "00".repeat(64),
      sharedPidNamespace: false,
      shmBytes: 1 << 20,
      userNamespace: undefined,
      network: undefined,
      sysctls: {},
      limits: undefined,
    });
    await guest.mountShare();
    const checks = await runChecks();
    expect(checks.length).toBeGreaterThan(100);
    const failed = checks.filter(({ ok, name }) => !ok && !OVERLAY_DEVIATIONS.includes(name));
    expect(failed).toEqual([]);
    expect((await stat(plan.disk.path)).blocks).toBeGreaterThan(empty);
    expect(existsSync(path.join(base, "program/work", "fs-semantics.1"))).toBe(false);
  }, 300_000);

  /** In a container as CRI describes it, with the capabilities that some checks are about. */
  async function runChecks(): Promise<CheckResult[]> {
    const spec = criSpec();
    Object.assign(spec.process, {
      user: { uid: 0, gid: 0 },
      args: ["/fs-semantics", "/work", "/fs-image"],
      noNewPrivileges: false,
      oomScoreAdj: 0,
      capabilities: null,
      rlimits: [{ type: "RLIMIT_NOFILE", hard: 65_536, soft: 1024 }],
    });
    Object.assign(spec.linux, { resources: {} });
    const { create } = translateSpec(spec);
    const [out, err] = [guest.output(), guest.output()];
    await guest.request("container.create", {
      ...create,
      id: "c1",
      pidTarget: "",
      seccomp: undefined,
      drainMs: 0,
      returned: [],
      rootfs: {
        kind: plan.guest.kind,
        path: plan.guest.path,
        imageSerials: plan.lower?.kind === "image" ? ["i1"] : [],
        diskSerial: "d1",
        filesystem: plan.disk.filesystem,
        readonly: false,
      },
      stdio: { stdin: 0, stdout: out.stream, stderr: err.stream },
    });
    await guest.request("process.start", { id: "c1", execId: "" });
    await Promise.all([out.output.ended, err.output.ended]);
    expect(err.output.text()).toBe("");
    const checks = parseChecks(out.output.text());
    await guest.request("container.delete", { id: "c1" });
    return checks;
  }
});

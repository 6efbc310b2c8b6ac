/**
 * Volumes of a real host: what is read of a tree whatever it has, what is bound and how, and what a dead daemon leaves.
 */
import { execFileSync, spawn } from "node:child_process";
import { closeSync, openSync } from "node:fs";
import { mkdir, mkdtemp, readFile, rename, rm, symlink, truncate, writeFile } from "node:fs/promises";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import path from "node:path";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { mountsBelow } from "../../../lab/host/mounts.ts";
import { AtomicVolume, PodDirectory } from "../../../lab/kubelet/pod-directory.ts";
import { FileJournal } from "../../../src/actors/resources/journal/journal.ts";
import type { ResourcePorts } from "../../../src/actors/resources/kinds/kind.ts";
import { recover } from "../../../src/actors/resources/recovery.ts";
import type { VolumeMount, VolumeRequest } from "../../../src/contracts/volumes.ts";
import { WorkerPool } from "../../../src/host/storage/worker-pool.ts";
import { LocalVolumes } from "../../../src/host/volumes/host-volumes.ts";
import { PatientTasks } from "../../../src/host/volumes/patient-tasks.ts";
import type { RootfsTasks } from "../../../src/workers/rootfs.worker.ts";
import { CapturedLogger } from "../../support/captured-logger.ts";
import { describeVolumes } from "../../support/conformance/volumes.ts";
import { bundleWorker, type WorkerBundle } from "../../support/worker-bundle.ts";

const isRoot = process.getuid?.() === 0;

let bundle: WorkerBundle;
let pool: WorkerPool<RootfsTasks>;
let volumes: LocalVolumes;
let base: string;

beforeAll(async () => {
  bundle = await bundleWorker("rootfs");
  pool = new WorkerPool<RootfsTasks>({ file: bundle.file, maxThreads: 2 });
  volumes = new LocalVolumes(pool);
});

afterAll(async () => {
  await pool.close();
  await bundle.remove();
});

beforeEach(async () => {
  base = await mkdtemp(path.join(tmpdir(), "blazar-volumes-"));
});

afterEach(async () => {
  const left = await mountsBelow(base);
  for (const point of left) execFileSync("umount", ["-l", point]);
  await rm(base, { recursive: true, force: true });
  expect(left).toEqual([]);
});

function asked(source: string, more: Partial<VolumeRequest> = {}): VolumeRequest {
  const usual = {
    field: "mounts[0]",
    destination: "/d",
    readonly: true,
    recursive: true,
    slave: false,
    idmapped: false,
  };
  return { ...usual, source, ...more };
}

async function projected(name: string): Promise<string> {
  const directory = path.join(base, "pods/8a/volumes/kubernetes.io~configmap", name);
  await mkdir(directory, { recursive: true });
  return directory;
}

describe("volumes of this host", () => {
  let volume: AtomicVolume | undefined;
  beforeEach(() => {
    volume = undefined;
  });

  describeVolumes(async () => {
    await mkdir(path.join(base, "share"), { recursive: true });
    const directory = await projected("token");
    return {
      volumes,
      projected: async (state, token) => {
        volume ??= new AtomicVolume(directory, {});
        await volume.write({ token }, state);
        return directory;
      },
      terminationLog: async () => {
        const log = path.join(base, "pods/8a/containers/main/1a2b3c4d");
        await mkdir(path.dirname(log), { recursive: true });
        await writeFile(log, "");
        return log;
      },
      replace: async (file) => {
        await writeFile(`${file}.other`, "");
        await rename(`${file}.other`, file);
      },
      directory: async () => {
        await mkdir(path.join(base, "data"), { recursive: true });
        return path.join(base, "data");
      },
      read: (file) => readFile(file, "utf8"),
      target: (name) => path.join(base, "share", name),
      bound: () => mountsBelow(path.join(base, "share")),
    };
  }, isRoot);
});

describe("a copied volume with odd things in it", () => {
  const planned = async (source: string) => (await volumes.plan([asked(source)], "vm"))[0];

  test("has links as they are, wherever they lead", async () => {
    const source = await projected("links");
    await symlink("/etc/shadow", path.join(source, "absolute"));
    await symlink("../../../../../etc/shadow", path.join(source, "relative"));
    await symlink("loop", path.join(source, "loop"));
    const plan = await planned(source);
    expect(
      plan?.kind === "copied" &&
        plan.entries
          .slice(1)
          .map(({ content }) => content)
          .sort(),
    ).toEqual(["../../../../../etc/shadow", "/etc/shadow", "loop"]);
  });

  test.each([
    ["a FIFO", (at: string) => execFileSync("mkfifo", [path.join(at, "x")]), "no file (fifo)"],
    [
      "a huge file",
      (at: string) => writeFile(path.join(at, "x"), "").then(() => truncate(path.join(at, "x"), 2 ** 33)),
      "bytes",
    ],
    ["a name that is no text", (at: string) => writeFile(Buffer.from(`${at}/\xff`, "latin1"), "x"), "UTF-8"],
    [
      "very deep directories",
      (at: string) => mkdir(path.join(at, "d/".repeat(40)), { recursive: true }),
      "deep",
    ],
  ])("is the host's own if it has %s", async (_, put, reason) => {
    const source = await projected("odd");
    await put(source);
    expect(await planned(source)).toMatchObject({ kind: "shared", instead: expect.stringContaining(reason) });
  });

  test("is the host's own if it has a socket", async () => {
    const source = await projected("odd");
    const server = createServer().listen(path.join(source, "s"));
    await new Promise((resolve) => server.once("listening", resolve));
    expect(await planned(source)).toMatchObject({
      kind: "shared",
      instead: expect.stringContaining("socket"),
    });
    server.close();
  });

  test("has nothing of another directory while links take its directories' places", async () => {
    const source = await projected("racing");
    const outside = path.join(base, "outside");
    await mkdir(outside, { recursive: true });
    await writeFile(path.join(outside, "canary"), "the host's");
    for (const name of ["a", "b", "c"]) await mkdir(path.join(source, name, "deeper"), { recursive: true });
    const flip = `const { renameSync, symlinkSync, unlinkSync } = require("node:fs");
      for (;;) for (const name of ["a", "b", "c"]) {
        renameSync(name, "../aside");
        symlinkSync(${JSON.stringify(outside)}, name);
        unlinkSync(name);
        renameSync("../aside", name);
      }`;
    const attacker = spawn(process.execPath, ["-e", flip], { cwd: source, stdio: "ignore" });
    try {
      const found: string[] = [];
      for (let look = 0; look < 400; look++) {
        const entries = (await volumes.read(source).catch(() => undefined)) ?? [];
        found.push(...entries.map((each) => each.path).filter((name) => name.includes("canary")));
      }
      expect(found).toEqual([]);
    } finally {
      attacker.kill("SIGKILL");
    }
  });

  test("is read whole while kubelet replaces it again and again", async () => {
    const source = await projected("busy");
    const files = (state: number) =>
      Object.fromEntries(Array.from({ length: 50 }, (_, index) => [`f${index}`, `${state}`]));
    const volume = new AtomicVolume(source, {});
    // as kubelet names them: before and after "..data" in the order of names
    const name = (state: number) => `${state % 2 === 0 ? "2026" : "state"}_${state}`;
    await volume.write(files(0), name(0));
    let going = true;
    const writing = (async () => {
      for (let state = 1; going; state++) await volume.write(files(state), name(state));
    })();
    for (let look = 0; look < 20; look++) {
      const entries = await volumes.read(source).catch((error: unknown) => error);
      // to give up is allowed to a reader, and to mix two states is not
      if (!Array.isArray(entries)) continue;
      const data = entries.find((each) => each.path === "..data")?.content;
      const texts = entries.filter((each) => each.path.startsWith(`${data}/`)).map(({ content }) => content);
      expect(texts).toHaveLength(50);
      expect(new Set(texts).size).toBe(1);
    }
    going = false;
    await writing;
  });
});

describe.skipIf(!isRoot)("a bind", () => {
  const how = { directory: true, readonly: false, recursive: true, slave: false, idmapped: false };

  async function bound(more: Partial<VolumeMount> = {}): Promise<{ source: string; target: string }> {
    const [source, target] = [path.join(base, "source"), path.join(base, "share", "v1")];
    await mkdir(path.join(source, "sub"), { recursive: true });
    await mkdir(path.dirname(target), { recursive: true });
    await volumes.mount({ source, target, ...how, ...more });
    return { source, target };
  }

  test("of a read-only volume is read-only with everything below it", async () => {
    await mkdir(path.join(base, "source/sub"), { recursive: true });
    execFileSync("mount", ["-t", "tmpfs", "tmpfs", path.join(base, "source/sub")]);
    const { target } = await bound({ readonly: true });
    for (const file of ["x", "sub/x"])
      await expect(writeFile(path.join(target, file), "x")).rejects.toMatchObject({ code: "EROFS" });
    await volumes.unmount({ target });
    execFileSync("umount", [path.join(base, "source/sub")]);
  });

  test.each([
    [true, ["late"]],
    [false, []],
  ])("that follows the host (%s) sees what is mounted later: %j", async (slave, seen) => {
    await mkdir(path.join(base, "source/sub"), { recursive: true });
    execFileSync("mount", ["--bind", path.join(base, "source"), path.join(base, "source")]);
    execFileSync("mount", ["--make-shared", path.join(base, "source")]);
    const { source, target } = await bound({ slave });
    execFileSync("mount", ["-t", "tmpfs", "tmpfs", path.join(source, "sub")]);
    await writeFile(path.join(source, "sub", "late"), "");
    expect(
      execFileSync("ls", [path.join(target, "sub")])
        .toString()
        .split("\n")
        .filter(Boolean),
    ).toEqual(seen);
    execFileSync("umount", [path.join(source, "sub")]);
    await volumes.unmount({ target });
    execFileSync("umount", [source]);
  });

  test("of a file is that file, and its place goes with it", async () => {
    const [source, target] = [path.join(base, "file"), path.join(base, "v1")];
    await writeFile(source, "content");
    await volumes.mount({ source, target, ...how, directory: false });
    await rename(source, `${source}.old`);
    expect(await readFile(target, "utf8")).toBe("content");
    await volumes.unmount({ target });
    await expect(readFile(target)).rejects.toMatchObject({ code: "ENOENT" });
  });

  test("that fails leaves nothing", async () => {
    const target = path.join(base, "v1");
    const missing = { source: path.join(base, "missing"), target, ...how };
    await expect(volumes.mount(missing)).rejects.toMatchObject({ code: "MountFailed" });
    const file = path.join(base, "file");
    await writeFile(file, "");
    await expect(volumes.mount({ source: file, target, ...how })).rejects.toMatchObject({
      code: "MountFailed",
    });
    await expect(readFile(target)).rejects.toMatchObject({ code: "ENOENT" });
  });

  test("of a daemon that has died is undone from its journal, and the host's files stay", async () => {
    const { source, target } = await bound();
    await writeFile(path.join(source, "kept"), "kept");
    const journals = path.join(base, "journals");
    await mkdir(journals);
    const journal = await FileJournal.create(path.join(journals, "pod.jsonl"), "pod");
    await journal.intend({ kind: "volume", target });
    const ports = { volumes } as unknown as ResourcePorts;
    const [report] = await recover(journals, ports, new CapturedLogger());
    expect(report?.undone).toEqual([`volume ${target}`]);
    expect(await mountsBelow(path.join(base, "share"))).toEqual([]);
    expect(await readFile(path.join(source, "kept"), "utf8")).toBe("kept");
    await journal.undone(1);
    await journal.close().catch(() => undefined);
  });
});

test("a source is read once for all of its mounts, and copies of one container have a bound together", async () => {
  const large = await projected("large");
  await writeFile(path.join(large, "a"), Buffer.alloc(6 * 1024 * 1024));
  const same = Array.from({ length: 300 }, () => asked(large));
  const before = process.memoryUsage.rss();
  const plans = await volumes.plan(same, "vm");
  expect(plans.every(({ kind }) => kind === "copied")).toBe(true);
  expect(process.memoryUsage.rss() - before).toBeLessThan(256 * 1024 * 1024);
  const others = await Promise.all(
    Array.from({ length: 8 }, async (_, number) => {
      const directory = await projected(`large${number}`);
      await writeFile(path.join(directory, "a"), Buffer.alloc(6 * 1024 * 1024));
      return asked(directory);
    }),
  );
  const kinds = (await volumes.plan(others, "vm")).map(({ kind }) => kind);
  expect(kinds.filter((kind) => kind === "copied")).toHaveLength(4);
  expect(kinds.filter((kind) => kind === "shared")).toHaveLength(4);
});

test.skipIf(!isRoot)("a volume whose server never answers holds up its own pod alone", async () => {
  const deadlineMs = 3_000;
  const patientPool = new WorkerPool<RootfsTasks>({ file: bundle.file, maxThreads: 8 });
  const tasks = new PatientTasks({ atOnce: 1, deadlineMs });
  // one thread for everybody, as in a daemon
  const shared = new WorkerPool<RootfsTasks>({ file: bundle.file, maxThreads: 1 });
  const daemons = new LocalVolumes(shared, { workers: patientPool, tasks });
  const [mute, fine] = [path.join(base, "mute"), path.join(base, "fine")];
  await Promise.all([mkdir(mute), mkdir(fine)]);
  const device = openSync("/dev/fuse", "r+");
  try {
    const options = "fd=3,rootmode=40000,user_id=0,group_id=0";
    const stdio = ["ignore", "ignore", "ignore", device] as const;
    execFileSync("mount", ["-i", "-t", "fuse", "none", mute, "-o", options], { stdio: [...stdio] });
    const refused = expect(daemons.plan([asked(mute)], "one")).rejects.toMatchObject({
      code: "DeadlineExceeded",
      details: { subject: mute },
    });
    for (const other of ["two", "three"])
      expect(await daemons.plan([asked(fine)], other)).toMatchObject([{ kind: "shared" }]);
    await refused;
    expect(await daemons.plan([asked(fine)], "four")).toMatchObject([{ kind: "shared" }]);
  } finally {
    // whoever waits for an answer gets an error now
    closeSync(device);
    await Promise.all([patientPool.close(), shared.close()]);
    execFileSync("umount", ["-l", mute]);
  }
});

test.skipIf(!isRoot)("parts of volumes are known for what they are parts of", async () => {
  const kubelet = await PodDirectory.make();
  try {
    const memory = await kubelet.emptyDir("cache", 65_536);
    const part = await kubelet.part(memory, "a/b", "main");
    const secret = await kubelet.projected("secret", "key", { token: "x" });
    const config = await kubelet.projected("configmap", "config", { motd: "x" });
    const sources = [
      asked(part, { readonly: false }),
      asked(await kubelet.filePart(secret.directory, "..data/token", "main")),
      asked(await kubelet.filePart(config.directory, "..data/motd", "main")),
    ];
    expect(await volumes.plan(sources, "vm")).toMatchObject([
      { kind: "memory", key: `memory ${memory}`, path: "a/b", bytes: 65_536 },
      { kind: "file", writtenBack: false },
      { kind: "file", writtenBack: false },
    ]);
  } finally {
    await kubelet.remove();
  }
});

import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import type { HostResource } from "../../../../src/actors/resources/kinds/kinds.ts";
import { Bench, DAEMON_STARTED, KEEPER, MINUTE } from "./bench.ts";

const SANDBOX = "5".repeat(64);

let bench: Bench;

beforeEach(() => {
  vi.useFakeTimers({ now: 10 * MINUTE });
  bench = new Bench();
});

afterEach(async () => {
  await bench.reconciler.close();
  vi.useRealTimers();
});

interface Leftover {
  readonly kind: string;
  readonly leave: () => void;
  /** What is done about it. */
  readonly done: readonly string[];
  /** By which a journal claims it; undefined: none can. */
  readonly claim?: HostResource;
}

const plan = {
  ...{ containerId: "c1", owner: undefined },
  guest: { kind: "layers", path: "c1/rootfs", readonly: false },
  disk: { path: "/scratch/c1.ext4", filesystem: "ext4", owned: true, readonly: false },
} as const;
const share = "/state/sandboxes/s1/share/c1";

const LEFTOVERS: Readonly<Record<string, Leftover>> = {
  "a VMM that the keeper holds": {
    kind: "process",
    leave: () => bench.keeper.processes.push({ id: "s1", identity: { pid: 999_999_999, startTime: 900 } }),
    done: ["signal s1 9", "forget s1"],
    claim: { kind: "process", id: "s1" },
  },
  "a template's VM of an earlier daemon": {
    kind: "process",
    leave: () =>
      bench.keeper.processes.push({
        id: "blazar-template-AbC123",
        identity: { pid: 999_999_998, startTime: DAEMON_STARTED - 1 },
      }),
    done: ["signal blazar-template-AbC123 9", "forget blazar-template-AbC123"],
    claim: { kind: "process", id: "blazar-template-AbC123" },
  },
  "stdio that the keeper holds": {
    kind: "stdio",
    leave: () => bench.keeper.stdio.push("c1/"),
    done: ["close c1/"],
    claim: { kind: "stdio", id: "c1/", paths: { stdin: "", stdout: "/f", stderr: "" } },
  },
  "an uplink": {
    kind: "uplink",
    leave: () => bench.put("/state/uplinks", "u1"),
    done: ["disconnect u1", "rm -r /state/uplinks/u1"],
    claim: { kind: "network", id: "u1", netnsPath: "" },
  },
  "an uplink's helper": {
    kind: "process",
    leave: () =>
      bench.keeper.processes.push({ id: "u1.pasta", identity: { pid: 999_999_997, startTime: 900 } }),
    done: ["signal u1.pasta 9", "forget u1.pasta"],
    claim: { kind: "network", id: "u1", netnsPath: "" },
  },
  "links whose frames go nowhere": {
    kind: "network",
    leave: () => bench.deadJoints.push("/run/netns/cni-1"),
    done: ["disconnect /run/netns/cni-1"],
    claim: { kind: "network", id: "s1", netnsPath: "/run/netns/cni-1" },
  },
  "a control group": {
    kind: "cgroups",
    leave: () => bench.groups.push({ name: SANDBOX, directories: [`/cgroup/blazar/${SANDBOX}`] }),
    done: [`rmdir /cgroup/blazar/${SANDBOX}`],
    claim: { kind: "cgroups", directories: ["/cgroup/blazar", `/cgroup/blazar/${SANDBOX}`] },
  },
  "a sandbox's directory": {
    kind: "directory",
    leave: () => bench.put("/state/sandboxes", "s1"),
    done: ["rm -r /state/sandboxes/s1"],
    claim: { kind: "directory", path: "/state/sandboxes/s1" },
  },
  "a VM's directory": {
    kind: "directory",
    leave: () => bench.put("/state/vm", "0123456789ab"),
    done: ["rm -r /state/vm/0123456789ab"],
    claim: { kind: "directory", path: "/state/vm/0123456789ab" },
  },
  "a container's layers in a sandbox that is there": {
    kind: "mount",
    leave: () => {
      bench.put("/state/sandboxes", "s1");
      bench.journal.push({ kind: "directory", path: "/state/sandboxes/s1" });
      bench.mounts.push("/state/sandboxes/s1/share", `${share}/rootfs`);
    },
    done: [`rm -r ${share}`],
    claim: {
      kind: "rootfs",
      plan: { ...plan, lower: { kind: "share", directory: share, target: `${share}/rootfs`, layers: [] } },
    },
  },
  "a volume in a sandbox that is there": {
    kind: "mount",
    leave: () => {
      bench.put("/state/sandboxes", "s1");
      bench.journal.push({ kind: "directory", path: "/state/sandboxes/s1" });
      bench.mounts.push("/state/sandboxes/s1/volumes/7/below");
    },
    done: ["umount /state/sandboxes/s1/volumes/7"],
    claim: { kind: "volume", target: "/state/sandboxes/s1/volumes/7" },
  },
  "a scratch disk": {
    kind: "disk",
    leave: () => bench.put("/scratch", "c1.ext4", "file"),
    done: ["rm /scratch/c1.ext4"],
    claim: { kind: "rootfs", plan: { ...plan, lower: undefined } },
  },
  "a warm VM's disk": {
    kind: "disk",
    leave: () => bench.put("/scratch", "pool-1.prepared", "file"),
    done: ["rm /scratch/pool-1.prepared"],
    claim: { kind: "file", path: "/scratch/pool-1.prepared" },
  },
  "a lease on an image": {
    kind: "image",
    leave: () => bench.leases.push({ key: "k", holder: "c1" }),
    done: ["release k of c1"],
    claim: { kind: "rootfs", plan: { ...plan, lower: { kind: "image", key: "k", path: "/i" } } },
  },
  "half a journal": {
    kind: "file",
    leave: () => bench.put("/state/journals", "s1.jsonl.new", "file"),
    done: ["rm /state/journals/s1.jsonl.new"],
  },
  "half a socket": {
    kind: "file",
    leave: () => bench.put("/state", ".s-AbC123"),
    done: ["rm -r /state/.s-AbC123"],
  },
};

describe("the reconciler", () => {
  for (const [what, { kind, leave, done, claim }] of Object.entries(LEFTOVERS)) {
    it(`removes ${what}, at the second look and not before`, async () => {
      leave();
      await bench.looks(1);
      expect(bench.done).toEqual([]);
      expect(bench.reconciler.open).toBe(1);
      await vi.advanceTimersByTimeAsync(MINUTE);
      expect(bench.done).toEqual(done);
      expect([...bench.reconciler.counts.done]).toEqual([[kind, 1]]);
      expect(bench.told("warn")).toHaveLength(1);
    });

    if (claim !== undefined)
      it(`leaves ${what} alone that a journal names`, async () => {
        leave();
        bench.journal.push(claim);
        await bench.looks(3);
        expect(bench.done).toEqual([]);
        expect(bench.reconciler.open).toBe(0);
      });
  }

  it("kills a process of ours that has lost its keeper, and nobody else's", async () => {
    const orphan = { pid: 999_999_996, startTime: 3, ancestors: [1], files: ["/state/vm/0a/log"] };
    const child = { pid: 999_999_995, startTime: 4, ancestors: [KEEPER, 1], files: ["/state/vm/0b/log"] };
    bench.processes.push(orphan, child, { pid: 1, startTime: 1, ancestors: [], files: ["/elsewhere/log"] });
    // a file server's own child
    const grandchild = { pid: 999_999_992, startTime: 7, ancestors: [50, KEEPER, 1] };
    bench.processes.push({ ...grandchild, files: ["/state/vm/0d/volumes.sock.log"] });
    // their keeper has died, and the next one has not taken them up yet
    bench.processes.push({
      pid: 999_999_994,
      startTime: 5,
      ancestors: [1],
      files: ["/state/uplinks/u1/pasta.log"],
    });
    bench.processes.push({ pid: 999_999_993, startTime: 6, ancestors: [1], files: ["/state/vm/0c/log"] });
    bench.journal.push({ kind: "network", id: "u1", netnsPath: "" });
    bench.journal.push({ kind: "directory", path: "/state/vm/0c" });
    bench.keeper.processes.push({ id: "s1", identity: child });
    bench.journal.push({ kind: "process", id: "s1" });
    await bench.looks(2);
    await bench.reconciler.close();
    // it was gone already when it was to be killed
    expect([...bench.reconciler.counts.done]).toEqual([["orphan", 1]]);
    expect(bench.told("warn")).toEqual(["process of nobody with /state/vm/0a/log (pid 999999996)"]);
  });

  it("leaves alone what only looks like it", async () => {
    const { keeper } = bench;
    keeper.processes.push({ id: "blazar-template-AbC123", identity: { pid: 7, startTime: 900 } });
    keeper.processes.push({ id: "image-0123456789ab", identity: { pid: 8, startTime: 900 } });
    bench.put("/state/sandboxes", "a-file", "file");
    bench.put("/state", "rehearsal");
    bench.put("/state", ".s-AbC123", "directory", Date.now() + 2 * MINUTE);
    bench.put("/state/journals", "s1.jsonl", "file");
    bench.put("/scratch", "notes.txt", "file");
    bench.put("/scratch", "directory.ext4");
    bench.put("/scratch", "open.ext4", "file");
    bench.processes.push({ pid: 9, startTime: 9, ancestors: [1], files: ["/scratch/open.ext4"] });
    bench.groups.push({ name: "not-a-sandbox", directories: ["/cgroup/blazar/not-a-sandbox"] });
    bench.groups.push({ name: SANDBOX, directories: [`/cgroup/blazar/${SANDBOX}`] });
    bench.stored = [{ id: SANDBOX, sandboxer: "another" }];
    bench.mounts.push("/state/sandboxes/s1/share", "/state/sandboxes/s1/volumes");
    await bench.looks(3);
    expect(bench.done).toEqual([]);
    expect(bench.reconciler.open).toBe(0);
  });

  it("leaves disks alone in a directory that is another daemon's", async () => {
    bench.put("/scratch", "c1.ext4", "file");
    bench.ownScratch = undefined;
    await bench.looks(3);
    expect(bench.done).toEqual([]);
  });

  it("does nothing about what is there at one look only", async () => {
    bench.put("/state/vm", "0a");
    await bench.looks(1);
    bench.names.clear();
    await vi.advanceTimersByTimeAsync(MINUTE);
    bench.put("/state/vm", "0a");
    await vi.advanceTimersByTimeAsync(MINUTE);
    expect(bench.done).toEqual([]);
  });

  it("says once what it could not do, and tries again", async () => {
    bench.put("/state/vm", "0a");
    bench.failing.add("rm -r /state/vm/0a");
    await bench.looks(4);
    expect(bench.told("error")).toHaveLength(1);
    expect([...bench.reconciler.counts.failed]).toEqual([["directory", 3]]);
    bench.failing.clear();
    await vi.advanceTimersByTimeAsync(MINUTE);
    expect(bench.done).toEqual(["rm -r /state/vm/0a"]);
  });

  it("concludes nothing from what it cannot see", async () => {
    bench.groups.push({ name: SANDBOX, directories: [`/cgroup/blazar/${SANDBOX}`] });
    bench.sandboxes.set("s1", new Date(0));
    bench.keeper.processes.push({ id: "s2", identity: { pid: 7, startTime: 900 } });
    bench.stored = undefined;
    bench.keeper.connected = false;
    await bench.looks(3);
    expect(bench.done).toEqual([]);
    const { unknown } = await bench.reconciler.reconcile(false);
    expect(unknown.map((text) => text.split(":")[0]).sort()).toEqual([
      ...["cgroups", "orphan", "process", "sandbox", "stdio"],
    ]);
  });

  it("does nothing while journals cannot be read, or one in use may name more than it says", async () => {
    bench.put("/state/vm", "0a");
    bench.journalsReadable = false;
    await bench.looks(3);
    bench.journalsReadable = true;
    bench.incomplete = true;
    await vi.advanceTimersByTimeAsync(3 * MINUTE);
    expect(bench.done).toEqual([]);
    const asked = bench.reconciler.reconcile(false);
    await vi.advanceTimersByTimeAsync(5000);
    expect((await asked).unknown.join()).toContain("cannot be read");
  });

  it("ends a pod that containerd does not know any more, when it is a minute old", async () => {
    bench.sandboxes.set("old", new Date(0));
    bench.sandboxes.set("known", new Date(0));
    bench.stored = [{ id: "known", sandboxer: "blazar" }];
    await bench.looks(1);
    bench.sandboxes.set("young", new Date(Date.now() + MINUTE / 2));
    await vi.advanceTimersByTimeAsync(MINUTE);
    expect(bench.done).toEqual(["shutdown old"]);
  });

  it("only tells of a sandbox that containerd knows and the daemon does not, once", async () => {
    bench.stored = [
      { id: "lost", sandboxer: "blazar" },
      { id: "runc's", sandboxer: "" },
    ];
    await bench.looks(4);
    expect(bench.done).toEqual([]);
    expect(bench.logger.lines.filter(({ message }) => message.includes("lost"))).toHaveLength(1);
    expect(bench.logger.lines.filter(({ message }) => message.includes("runc's"))).toEqual([]);
  });

  it("only tells of a journal that was kept aside", async () => {
    bench.put("/state/journals", "s1.jsonl.unreadable", "file");
    await bench.looks(3);
    expect(bench.done).toEqual([]);
    const asked = bench.reconciler.reconcile(false);
    await vi.advanceTimersByTimeAsync(5000);
    expect((await asked).differences).toMatchObject([{ kind: "journal", action: "", state: "confirmed" }]);
  });

  it("asked by an operator changes nothing, unless it is to: then it looks twice", async () => {
    bench.put("/state/vm", "0a");
    const seen = bench.reconciler.reconcile(false);
    await vi.advanceTimersByTimeAsync(5000);
    expect((await seen).differences).toMatchObject([
      { kind: "directory", text: "directory /state/vm/0a", action: "removes it", state: "confirmed" },
    ]);
    expect(bench.done).toEqual([]);
    const fixed = bench.reconciler.reconcile(true);
    await vi.advanceTimersByTimeAsync(5000);
    expect((await fixed).differences).toMatchObject([{ state: "done", error: "" }]);
    expect(bench.done).toEqual(["rm -r /state/vm/0a"]);
  });

  it("does a bounded lot at a time", async () => {
    for (let each = 0; each < 200; each++) bench.put("/state/vm", `0${each}`);
    await bench.looks(2);
    expect(bench.done).toHaveLength(64);
  });
});

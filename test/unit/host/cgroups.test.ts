import { existsSync, mkdirSync, readFileSync, rmdirSync, writeFileSync } from "node:fs";
import { mkdtemp, readdir, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { expandParent, ownGroupOf } from "../../../src/host/cgroups/hierarchies.ts";
import { HostCgroups } from "../../../src/host/cgroups/host-cgroups.ts";
import { HostNodeView } from "../../../src/host/node-view.ts";

let base: string;
let waited: number[];

beforeEach(async () => {
  base = await mkdtemp(path.join(tmpdir(), "blazar-cgroups-"));
  waited = [];
});
afterEach(() => rm(base, { recursive: true }));

/** Directories that stand for mounted hierarchies, by name and the options that the kernel shows. */
function mounted(hierarchies: Record<string, string>, type = "cgroup"): HostCgroups {
  const lines = Object.entries(hierarchies).map(([name, options], index) => {
    mkdirSync(path.join(base, name), { recursive: true });
    return `${30 + index} 29 0:${index} / ${base}/${name} rw - ${type} ${type} ${options}`;
  });
  const mountinfo = path.join(base, "mountinfo");
  writeFileSync(mountinfo, `${lines.join("\n")}\n`, { flag: "a" });
  return new HostCgroups({ mountinfo, delay: async (ms) => waited.push(ms) });
}

const V1 = { "cpu,cpuacct": "rw,cpu,cpuacct", memory: "rw,memory", systemd: "rw,xattr,name=systemd" };

describe("the groups of several daemons", () => {
  test("each sees its own empty ones, and those of nobody else", async () => {
    mounted(V1);
    const mountinfo = path.join(base, "mountinfo");
    const daemon = (state: string) => {
      const ownGroup = ownGroupOf(state);
      const users = { firstUid: 1000, count: 1 };
      const workers = { run: () => Promise.reject(new Error("nothing is asked for")) };
      const view = new HostNodeView({ mountinfo, ownGroup, users, workers });
      return { cgroups: new HostCgroups({ mountinfo, ownGroup }), view };
    };
    const [one, two] = [daemon("/run/one"), daemon("/run/two")];
    // what the kernel has in every group
    const { directories } = await one.cgroups.plan("s1", "");
    await one.cgroups.make(directories);
    for (const hierarchy of ["cpu,cpuacct", "memory"])
      writeFileSync(path.join(base, hierarchy, ownGroupOf("/run/one"), "s1", "cgroup.procs"), "");
    expect((await one.view.emptyGroups()).map(({ name }) => name)).toEqual(["s1"]);
    expect(await two.view.emptyGroups()).toEqual([]);
  });
});

describe("a limit of processor time", () => {
  const LIMIT = { quota: 150_000, period: 50_000 };
  const read = (file: string) => readFileSync(path.join(base, file), "utf8");

  /** The group of a sandbox in its parent's, with the files that the kernel has. */
  async function limited(cgroups: HostCgroups, files: Record<string, string>) {
    const { directories, procs } = await cgroups.plan("s1", "/pod");
    await cgroups.make(directories);
    for (const [file, text] of Object.entries(files)) writeFileSync(path.join(base, file), text);
    return procs.map((file) => path.dirname(file));
  }

  test("is a quota and its period in v1, where there is a controller for it, and can be taken away", async () => {
    const cgroups = mounted(V1);
    const own = "cpu,cpuacct/pod/s1/cpu.cfs";
    const groups = await limited(cgroups, {
      "cpu,cpuacct/pod/cpu.cfs_quota_us": "-1\n",
      [`${own}_quota_us`]: "-1\n",
    });
    await cgroups.limitCpu(groups, LIMIT);
    expect([read(`${own}_quota_us`), read(`${own}_period_us`)]).toEqual(["150000", "50000"]);
    await cgroups.limitCpu(groups, undefined);
    expect(read(`${own}_quota_us`)).toBe("-1");
    expect(await readdir(path.join(base, "memory/pod/s1"))).toEqual([]);
  });

  test("is not made in v1 below a group that has one: that one could not be lowered any more", async () => {
    const cgroups = mounted(V1);
    const own = "cpu,cpuacct/pod/s1/cpu.cfs_quota_us";
    const groups = await limited(cgroups, {
      "cpu,cpuacct/pod/cpu.cfs_quota_us": "200000\n",
      [own]: "100000\n",
    });
    await cgroups.limitCpu(groups, LIMIT);
    expect(read(own)).toBe("-1");
  });

  test("is one line in v2", async () => {
    const cgroups = mounted({ unified: "rw" }, "cgroup2");
    const groups = await limited(cgroups, { "unified/pod/s1/cpu.max": "max 100000\n" });
    await cgroups.limitCpu(groups, LIMIT);
    expect(read("unified/pod/s1/cpu.max")).toBe("150000 50000");
    await cgroups.limitCpu(groups, undefined);
    expect(read("unified/pod/s1/cpu.max")).toBe("max 100000");
  });

  test("that cannot be written is told with the group", async () => {
    const cgroups = mounted({ unified: "rw" }, "cgroup2");
    const group = path.join(base, "unified/gone/s1");
    await expect(cgroups.limitCpu([group], LIMIT)).rejects.toMatchObject({
      code: "HostResource",
      message: expect.stringContaining(group),
    });
    await cgroups.limitCpu([group], undefined);
  });
});

describe("what a sandbox takes of the host", () => {
  test("is told in the words of v2, also where the host has v1", async () => {
    const cgroups = mounted(V1);
    const { directories, procs } = await cgroups.plan("s1", "/pod");
    await cgroups.make(directories);
    const files = {
      "cpu,cpuacct/pod/s1/cpuacct.usage": "12345678\n",
      "memory/pod/s1/memory.usage_in_bytes": "4096\n",
      "memory/pod/s1/memory.limit_in_bytes": "9223372036854771712\n",
      "memory/pod/s1/memory.stat": "cache 1\ntotal_cache 2\ntotal_inactive_file 3\nother 4\n",
    };
    for (const [file, text] of Object.entries(files)) writeFileSync(path.join(base, file), text);
    expect(await cgroups.usage(procs.map((file) => path.dirname(file)))).toEqual({
      "cpu.stat": "usage_usec 12345",
      "memory.current": "4096",
      "memory.max": "max",
      "memory.stat": "file 2\ninactive_file 3",
    });
  });

  test("is what v2 says, of those files that its kernel has; and nothing of a group that is gone", async () => {
    const cgroups = mounted({ unified: "rw" }, "cgroup2");
    const { directories, procs } = await cgroups.plan("s1", "/pod");
    const groups = procs.map((file) => path.dirname(file));
    expect(await cgroups.usage(groups)).toEqual({});
    await cgroups.make(directories);
    writeFileSync(path.join(base, "unified/pod/s1/memory.current"), "4096\n");
    writeFileSync(path.join(base, "unified/pod/s1/cpu.stat"), "usage_usec 7\nuser_usec 3\n");
    expect(await cgroups.usage(groups)).toEqual({
      "memory.current": "4096",
      "cpu.stat": "usage_usec 7\nuser_usec 3",
    });
  });
});

describe("the limits of a sandbox", () => {
  const limits = { memoryBytes: 2 ** 30 + 0.5, tasks: 100 };

  test("are those of its own group, in v1 where the controller is, and of no group above", async () => {
    const cgroups = mounted({ memory: "rw,memory", pids: "rw,pids", cpu: "rw,cpu" });
    const { directories } = await cgroups.plan("s1", "");
    for (const [name, file] of [
      ["memory", "memory.limit_in_bytes"],
      ["pids", "pids.max"],
    ]) {
      mkdirSync(path.join(base, `${name}/blazar/s1`), { recursive: true });
      for (const group of ["blazar", "blazar/s1"])
        writeFileSync(path.join(base, `${name}`, group, `${file}`), "none");
    }
    await cgroups.make(directories, limits);
    const read = (file: string): string => readFileSync(path.join(base, file), "utf8");
    expect(read("memory/blazar/s1/memory.limit_in_bytes")).toBe(String(2 ** 30 + 1));
    expect(read("pids/blazar/s1/pids.max")).toBe("100");
    expect(read("memory/blazar/memory.limit_in_bytes")).toBe("none");
    expect(await readdir(path.join(base, "cpu/blazar/s1"))).toEqual([]);
  });

  test("are those of v2, as far as the controllers are handed down", async () => {
    const cgroups = mounted({ unified: "rw" }, "cgroup2");
    const { directories } = await cgroups.plan("s1", "");
    mkdirSync(path.join(base, "unified/blazar/s1"), { recursive: true });
    writeFileSync(path.join(base, "unified/blazar/s1/memory.max"), "max");
    await cgroups.make(directories, limits);
    expect(readFileSync(path.join(base, "unified/blazar/s1/memory.max"), "utf8")).toBe(String(2 ** 30 + 1));
    expect(existsSync(path.join(base, "unified/blazar/s1/pids.max"))).toBe(false);
  });
});

describe("cgroup v1", () => {
  test("a sandbox has a group in each hierarchy with controllers, below blazar's own", async () => {
    const cgroups = mounted(V1);
    expect(await cgroups.plan("s1", "")).toEqual({
      directories: ["cpu,cpuacct/blazar", "cpu,cpuacct/blazar/s1", "memory/blazar", "memory/blazar/s1"].map(
        (each) => `${base}/${each}`,
      ),
      procs: ["cpu,cpuacct/blazar/s1", "memory/blazar/s1"].map((each) => `${base}/${each}/cgroup.procs`),
    });
    expect(existsSync(path.join(base, "memory/blazar"))).toBe(false);
  });

  test("making and removing leaves nothing, also of the group that sandboxes share", async () => {
    const cgroups = mounted(V1);
    const [one, two] = [await cgroups.plan("s1", ""), await cgroups.plan("s2", "")];
    await cgroups.make(one.directories);
    await cgroups.make(two.directories);
    await cgroups.remove(one.directories);
    expect(await readdir(path.join(base, "memory/blazar"))).toEqual(["s2"]);
    await cgroups.remove(two.directories);
    await cgroups.remove(two.directories);
    expect(await readdir(path.join(base, "memory"))).toEqual([]);
    expect(waited).toEqual([]);
  });

  test("kubelet's groups stay; a missing parent is made and goes again", async () => {
    const cgroups = mounted(V1);
    mkdirSync(path.join(base, "memory/kubepods/pod1"), { recursive: true });
    const { directories } = await cgroups.plan("s1", "/kubepods/pod1");
    expect(directories).toContain(`${base}/cpu,cpuacct/kubepods`);
    expect(directories).not.toContain(`${base}/memory/kubepods`);
    await cgroups.make(directories);
    await cgroups.remove(directories);
    expect(existsSync(path.join(base, "memory/kubepods/pod1"))).toBe(true);
    expect(existsSync(path.join(base, "cpu,cpuacct/kubepods"))).toBe(false);
  });

  test("the memory limit of a pod's group is its own or one above it, if there is one", () => {
    const cgroups = mounted(V1);
    const limit = (group: string, bytes: string) => {
      mkdirSync(path.join(base, "memory", group), { recursive: true });
      writeFileSync(path.join(base, "memory", group, "memory.limit_in_bytes"), `${bytes}\n`);
    };
    limit("kubepods", "9223372036854771712");
    limit("kubepods/pod1", "1000");
    limit("kubepods/pod2", "9223372036854771712");
    expect(cgroups.memoryLimit("/kubepods/pod1")).toBe(1000);
    expect(cgroups.memoryLimit("/kubepods/pod2")).toBeUndefined();
    expect(cgroups.memoryLimit("/kubepods/none")).toBeUndefined();
    expect(cgroups.memoryLimit("")).toBeUndefined();
    limit("kubepods", "500");
    expect(cgroups.memoryLimit("/kubepods/pod1")).toBe(500);
    expect(cgroups.memoryLimit("/kubepods/none")).toBe(500);
  });

  test("a group's limits are its own, not those of the groups above", () => {
    const cgroups = mounted(V1);
    for (const controller of ["memory", "cpu,cpuacct"])
      mkdirSync(path.join(base, controller, "kubepods/pod1"), { recursive: true });
    const write = (file: string, text: string) => writeFileSync(path.join(base, file), `${text}\n`);
    write("memory/kubepods/memory.limit_in_bytes", "1000");
    write("memory/kubepods/pod1/memory.limit_in_bytes", "9223372036854771712");
    write("cpu,cpuacct/kubepods/cpu.cfs_quota_us", "5000");
    write("cpu,cpuacct/kubepods/pod1/cpu.cfs_quota_us", "-1");
    expect(cgroups.limitsOf("/kubepods")).toEqual({ memory: true, cpu: true });
    expect(cgroups.limitsOf("/kubepods/pod1")).toEqual({ memory: false, cpu: false });
    expect(cgroups.limitsOf("/kubepods/none")).toEqual({ memory: false, cpu: false });
    expect(cgroups.limitsOf("")).toEqual({ memory: false, cpu: false });
  });

  test("CPUs and memory nodes are those of the group above", async () => {
    const cgroups = mounted({ cpuset: "rw,cpuset" });
    for (const directory of ["", "blazar", "blazar/s1"]) {
      mkdirSync(path.join(base, "cpuset", directory), { recursive: true });
      for (const name of ["cpuset.cpus", "cpuset.mems"])
        writeFileSync(path.join(base, "cpuset", directory, name), directory === "" ? "0-3\n" : "\n");
    }
    await cgroups.make((await cgroups.plan("s1", "")).directories);
    expect(readFileSync(path.join(base, "cpuset/blazar/s1/cpuset.cpus"), "utf8")).toBe("0-3\n");
    expect(readFileSync(path.join(base, "cpuset/blazar/s1/cpuset.mems"), "utf8")).toBe("0-3\n");
  });

  test("v2 mounted beside v1, for systemd, is left alone", async () => {
    mounted({ memory: "rw,memory" });
    const cgroups = mounted({ unified: "rw" }, "cgroup2");
    expect((await cgroups.plan("s1", "")).procs).toEqual([`${base}/memory/blazar/s1/cgroup.procs`]);
  });
});

describe("cgroup v2", () => {
  test("the memory limit of a pod's group is in memory.max, also of a systemd slice", () => {
    const cgroups = mounted({ unified: "rw,nsdelegate" }, "cgroup2");
    const pod = path.join(base, "unified/kubepods.slice/kubepods-pod1.slice");
    mkdirSync(pod, { recursive: true });
    writeFileSync(path.join(pod, "memory.max"), "max\n");
    expect(cgroups.memoryLimit("kubepods-pod1.slice")).toBeUndefined();
    writeFileSync(path.join(pod, "memory.max"), "4096\n");
    expect(cgroups.memoryLimit("kubepods-pod1.slice")).toBe(4096);
    expect(cgroups.limitsOf("kubepods-pod1.slice")).toEqual({ memory: true, cpu: false });
    writeFileSync(path.join(pod, "cpu.max"), "max 100000\n");
    expect(cgroups.limitsOf("kubepods-pod1.slice").cpu).toBe(false);
    writeFileSync(path.join(pod, "cpu.max"), "50000 100000\n");
    expect(cgroups.limitsOf("kubepods-pod1.slice").cpu).toBe(true);
  });

  test("a sandbox has one group, and the groups above hand their controllers down", async () => {
    const cgroups = mounted({ unified: "rw,nsdelegate" }, "cgroup2");
    const { directories, procs } = await cgroups.plan("s1", "");
    expect(directories).toEqual([`${base}/unified/blazar`, `${base}/unified/blazar/s1`]);
    expect(procs).toEqual([`${base}/unified/blazar/s1/cgroup.procs`]);
    writeFileSync(path.join(base, "unified/cgroup.controllers"), "cpu memory pids hugetlb\n");
    writeFileSync(path.join(base, "unified/cgroup.subtree_control"), "cpu memory\n");
    await cgroups.make(directories);
    // a plain file keeps only what was written last
    expect(readFileSync(path.join(base, "unified/cgroup.subtree_control"), "utf8")).toBe("+pids");
  });
});

test("a host without control groups is told so", async () => {
  const cgroups = mounted({ tmp: "rw" }, "tmpfs");
  await expect(cgroups.plan("s1", "")).rejects.toMatchObject({ code: "DependencyMissing" });
});

describe("removing", () => {
  test("waits for a group that is still busy, for a bounded time", async () => {
    const cgroups = mounted({ memory: "rw,memory" });
    const { directories } = await cgroups.plan("s1", "");
    await cgroups.make(directories);
    mkdirSync(path.join(base, "memory/blazar/s1/inner"));
    await expect(cgroups.remove(directories)).rejects.toMatchObject({ code: "HostResource" });
    expect(waited.reduce((sum, each) => sum + each)).toBe(2000);
  });

  test("goes on when the last process has left", async () => {
    const cgroups = mounted({ memory: "rw,memory" });
    const { directories } = await cgroups.plan("s1", "");
    await cgroups.make(directories);
    const inner = path.join(base, "memory/blazar/s1/inner");
    mkdirSync(inner);
    const patient = new HostCgroups({
      mountinfo: path.join(base, "mountinfo"),
      delay: async () => rmdirSync(inner),
    });
    await patient.remove(directories);
    expect(await readdir(path.join(base, "memory"))).toEqual([]);
  });

  test.each(["/", "/etc", "memory", "memory/../outside", "memory/", "other/blazar"])(
    "refuses %s",
    async (given) => {
      const cgroups = mounted({ memory: "rw,memory" });
      mkdirSync(path.join(base, "outside"));
      mkdirSync(path.join(base, "other/blazar"), { recursive: true });
      const directory = given.startsWith("/") ? given : `${base}/${given}`;
      await expect(cgroups.remove([directory])).rejects.toMatchObject({ code: "InvalidArgument" });
      await expect(cgroups.make([directory])).rejects.toMatchObject({ code: "InvalidArgument" });
      expect(existsSync(path.join(base, "outside"))).toBe(true);
      expect(existsSync(path.join(base, "other/blazar"))).toBe(true);
    },
  );
});

describe("a parent", () => {
  test.each([
    ["/kubepods/burstable/pod1", "/kubepods/burstable/pod1"],
    ["kubepods/pod1/", "/kubepods/pod1"],
    ["system.slice", "/system.slice"],
    [
      "kubepods-burstable-pod1_2.slice",
      "/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod1_2.slice",
    ],
    ["/kubepods.slice/kubepods-pod1.slice", "/kubepods.slice/kubepods-pod1.slice"],
  ])("%s is %s", (parent, group) => {
    expect(expandParent(parent)).toBe(group);
  });

  test.each(["/", "//", "..", "/a/../b", "/a/./b", "a\0b", "/cgroup.procs", "a--b.slice", "-.slice"])(
    "%j is refused",
    (parent) => {
      expect(() => expandParent(parent)).toThrow(expect.objectContaining({ code: "InvalidArgument" }));
    },
  );

  test.each(["..", "a/b", "", "x".repeat(200)])("the sandbox id %j is refused", async (id) => {
    await expect(mounted(V1).plan(id, "")).rejects.toMatchObject({ code: "InvalidArgument" });
  });
});

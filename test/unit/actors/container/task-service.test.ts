/** Whoever waits for a process is always told of its end, also of one that never was. */
import { describe, expect, it, vi } from "vitest";
import { DEFAULT_DEADLINES } from "../../../../src/contracts/deadlines.ts";
import { blazarError } from "../../../../src/contracts/errors.ts";
import { MemoryHost } from "../../../support/memory-host/host.ts";
import { containerRequest, podSpec } from "../../../support/memory-host/pods.ts";

describe("a wait for a container", () => {
  it("ends with the container's creation if that comes to nothing", async () => {
    const memory = new MemoryHost({
      guest: () => ({ faults: { hangs: new Set(["container.create"]) } }),
    });
    const { sandboxes, tasks } = memory.actors();
    await sandboxes.create(podSpec("pod"));
    await sandboxes.start("pod");
    const created = tasks.create(containerRequest("pod", "c1"));
    created.catch(() => undefined);
    const { guest } = memory.driver.vm("pod");
    await vi.waitFor(() => expect(guest.requests.map(({ op }) => op)).toContain("container.create"));
    const waited = tasks.wait("c1", "");
    memory.driver.vm("pod").die(-1, 9);
    expect(await waited).toMatchObject({ exitStatus: 137 });
    await expect(created).rejects.toMatchObject({ code: "GuestLost" });
    await sandboxes.shutdown("pod");
    expect(memory.remains()).toEqual([]);
  });
});

describe("a stop while a container is being created", () => {
  it("calls the creation off, and does not wait for a process that nobody can kill", async () => {
    const memory = new MemoryHost();
    const { sandboxes, tasks } = memory.actors();
    await sandboxes.create(podSpec("pod"));
    await sandboxes.start("pod");
    const created = tasks.create(containerRequest("pod", "c1"));
    created.catch(() => undefined);
    await Promise.all([
      sandboxes.stop("pod", 0),
      expect(created).rejects.toMatchObject({ code: "GuestLost" }),
    ]);
    await sandboxes.shutdown("pod");
    expect(memory.remains()).toEqual([]);
  });
});

describe("SIGKILL for a container that is being created", () => {
  it("calls the creation off: a restarted containerd sends it for what its predecessor wanted, and waits", async () => {
    const memory = new MemoryHost({
      guest: () => ({ faults: { hangs: new Set(["container.create", "container.delete"]) } }),
    });
    const { sandboxes, tasks } = memory.actors();
    await sandboxes.create(podSpec("pod"));
    await sandboxes.start("pod");
    const created = tasks.create(containerRequest("pod", "c1"));
    const failed = expect(created).rejects.toMatchObject({ code: "GuestLost" });
    const { guest } = memory.driver.vm("pod");
    await vi.waitFor(() => expect(guest.requests.map(({ op }) => op)).toContain("container.create"));
    const waited = tasks.wait("c1", "");
    await tasks.kill("c1", "", 9, true);
    expect(await waited).toMatchObject({ exitStatus: 137 });
    await sandboxes.shutdown("pod");
    await failed;
    expect(memory.remains()).toEqual([]);
  });
});

describe("the journal of a pod", () => {
  it("has what a later daemon needs to take it over, while it needs it", async () => {
    const memory = new MemoryHost();
    const { sandboxes, tasks } = memory.actors();
    await sandboxes.create(podSpec("pod"));
    await sandboxes.start("pod");
    const facts = memory.journals.get("pod")?.facts ?? new Map();
    expect(facts.get("sandbox")).toEqual(podSpec("pod"));
    const { identity } = memory.driver.vm("pod");
    const vm = { id: "pod", ...identity, source: "boot" };
    expect(facts.get("vm")).toMatchObject(vm);
    const { pid } = await tasks.create(containerRequest("pod", "c1"));
    expect(facts.get("container/c1")).toMatchObject({ bundle: "/bundles/c1" });
    const streams = { stdin: 1, stdout: 2, stderr: 3 };
    const paths = { stdin: "/f/i", stdout: "/f/o", stderr: "/f/e" };
    expect(facts.get("process/c1/")).toMatchObject({ pid, paths, streams, started: false });
    await tasks.start("c1", "");
    expect(facts.get("process/c1/")).toMatchObject({ pid, started: true, exit: undefined });
    await tasks.kill("c1", "", 9, true);
    const { exitedAt } = await tasks.wait("c1", "");
    expect(facts.get("process/c1/")).toMatchObject({ exit: { status: 137, at: exitedAt.getTime() } });
    await tasks.delete("c1", "");
    expect([...facts.keys()]).toEqual(["sandbox", "vm", "phase"]);
    await sandboxes.shutdown("pod");
    expect(memory.remains()).toEqual([]);
  });
});

describe("a pod with sysctls", () => {
  it("has them from its guest's set-up, and a container its own besides", async () => {
    const memory = new MemoryHost();
    const { sandboxes, tasks } = memory.actors();
    const sysctls = { "kernel.shm_rmid_forced": "1", "net.ipv4.ip_forward": "1" };
    await sandboxes.create({ ...podSpec("pod"), sysctls });
    await sandboxes.start("pod");
    const request = containerRequest("pod", "c1");
    const spec = { ...(request.spec as object), linux: { sysctl: { "net.ipv4.ip_forward": "0" } } };
    await tasks.create({ ...request, spec });
    const { guest } = memory.driver.vm("pod");
    expect(guest.setup?.sysctls).toEqual(sysctls);
    expect(guest.containers.get("c1")?.create.sysctl).toEqual({ "net.ipv4.ip_forward": "0" });
    await sandboxes.shutdown("pod");
    expect(memory.remains()).toEqual([]);
  });
});

describe("a running container", () => {
  const running = async () => {
    const memory = new MemoryHost();
    const { sandboxes, tasks } = memory.actors();
    await sandboxes.create(podSpec("pod"));
    await sandboxes.start("pod");
    await tasks.create(containerRequest("pod", "c1"));
    await tasks.start("c1", "");
    const end = async () => {
      await sandboxes.shutdown("pod");
      expect(memory.remains()).toEqual([]);
    };
    return { memory, tasks, guest: memory.driver.vm("pod").guest, end };
  };

  it("tells a kill for want of memory when it happens, once for a group, and not again with an exit", async () => {
    const { memory, tasks, guest, end } = await running();
    const topics = () => memory.events.map(({ type }) => type).filter((type) => type !== "create");
    guest.emit("container.oomKilled", { id: "c1" });
    guest.emit("container.oomKilled", { id: "c1" });
    guest.emit("container.oomKilled", { id: "somebody else's" });
    await vi.waitFor(() => expect(topics()).toEqual(["start", "oom"]));
    await tasks.kill("c1", "", 9, true);
    await tasks.wait("c1", "");
    expect(topics()).toEqual(["start", "oom", "exit"]);
    await end();
  });

  it("is told to be killed for want of memory if the host's kernel has killed its VMM for that, once", async () => {
    const { memory, tasks, end } = await running();
    await tasks.create(containerRequest("pod", "never-started"));
    await tasks.create(containerRequest("pod", "ended"));
    await tasks.start("ended", "");
    await tasks.kill("ended", "", 9, true);
    await tasks.wait("ended", "");
    memory.events.length = 0;
    memory.outOfMemory = "a process of /pod; the limit of /pod is 1 bytes";
    memory.driver.vm("pod").die(-1, 9);
    expect(await tasks.wait("c1", "")).toMatchObject({ exitStatus: 137 });
    await tasks.wait("never-started", "");
    const told = memory.events.map(({ type, containerId }) => `${type} ${containerId}`);
    expect(told.filter((each) => !each.endsWith("never-started"))).toEqual(["oom c1", "exit c1"]);
    expect(told).not.toContain("oom never-started");
    await end();
  });

  it("has execs whose terminals have their size from the first command on, whenever it is told", async () => {
    const { tasks, guest, end } = await running();
    const process = { args: ["sh"], cwd: "/", consoleSize: { width: 80, height: 24 } };
    const exec = { process, stdin: "", stdout: "", stderr: "", terminal: true };
    for (const id of ["e1", "e2"]) await tasks.exec("c1", id, exec);
    await tasks.resizePty("c1", "e2", 132, 43);
    await expect(tasks.resizePty("c1", "e2", 65_536, 1)).rejects.toThrow("65536 × 1: more than 65535");
    for (const id of ["e1", "e2"]) await tasks.start("c1", id);
    await tasks.resizePty("c1", "e1", 91, 31);
    const told = guest.requests.flatMap(({ op, params }) =>
      op === "process.exec" || op === "process.resize" ? [params] : [],
    );
    expect(told).toMatchObject([
      { execId: "e1", process: { columns: 80, rows: 24 } },
      { execId: "e2", process: { columns: 132, rows: 43 } },
      { execId: "e1", columns: 91, rows: 31 },
    ]);
    await end();
  });

  it("is paused and resumed, and says so; no exec begins meanwhile", async () => {
    const { memory, tasks, guest, end } = await running();
    await expect(tasks.resume("c1")).rejects.toMatchObject({ code: "IllegalTransition" });
    await tasks.pause("c1");
    expect(guest.frozen.has("c1")).toBe(true);
    expect(tasks.state("c1", "").status).toBe("paused");
    const exec = {
      process: { args: ["true"], cwd: "/" },
      stdin: "",
      stdout: "",
      stderr: "",
      terminal: false,
    };
    await expect(tasks.exec("c1", "e1", exec)).rejects.toMatchObject({ code: "IllegalTransition" });
    await expect(tasks.pause("c1")).rejects.toMatchObject({ code: "IllegalTransition" });
    await tasks.resume("c1");
    expect(guest.frozen.has("c1")).toBe(false);
    expect(tasks.state("c1", "").status).toBe("running");
    const types = memory.events.map(({ type }) => type);
    expect(types.filter((type) => type === "paused" || type === "resumed")).toEqual(["paused", "resumed"]);
    await end();
  });

  it("whose VM has just ended can be killed: nothing is left to do", async () => {
    const { memory, tasks, end } = await running();
    memory.driver.vm("pod").die(-1, 9);
    await tasks.kill("c1", "", 15, true);
    expect(await tasks.wait("c1", "")).toMatchObject({ exitStatus: 137 });
    await end();
  });

  it("that is paused can be killed", async () => {
    const { tasks, end } = await running();
    await tasks.pause("c1");
    await tasks.kill("c1", "", 9, true);
    expect(await tasks.wait("c1", "")).toMatchObject({ exitStatus: 137 });
    expect(tasks.state("c1", "").status).toBe("stopped");
    await end();
  });

  it("ends with its VM if the guest hangs between its answer to SIGKILL and the end", async () => {
    const { tasks, guest, end } = await running();
    // it answers, and then nothing comes of it
    Object.assign(guest, { signal: () => ({}) });
    vi.useFakeTimers();
    try {
      await tasks.kill("c1", "", 9, true);
      guest.faults.hangs = new Set(["process.signal"]);
      const waited = tasks.wait("c1", "");
      await vi.advanceTimersByTimeAsync(DEFAULT_DEADLINES.guestKill + 500);
      expect(await waited).toMatchObject({ exitStatus: 137 });
    } finally {
      vi.useRealTimers();
    }
    await end();
  });

  it("of a guest that hangs gets its signals later: nobody waits for that", async () => {
    const { tasks, guest, end } = await running();
    guest.faults.hangs = new Set(["process.signal"]);
    vi.useFakeTimers();
    try {
      const killed = tasks.kill("c1", "", 15, false);
      await vi.advanceTimersByTimeAsync(DEFAULT_DEADLINES.guestSignal);
      await killed;
      expect(tasks.state("c1", "").status).toBe("running");
    } finally {
      vi.useRealTimers();
    }
    guest.faults.hangs = new Set();
    await end();
  });

  it("ends with its VM if the guest does not obey SIGKILL, and so does every other one", async () => {
    const { memory, tasks, guest, end } = await running();
    await tasks.create(containerRequest("pod", "c2"));
    await tasks.start("c2", "");
    guest.faults.hangs = new Set(["process.signal"]);
    vi.useFakeTimers();
    try {
      const killed = tasks.kill("c1", "", 9, true);
      await vi.advanceTimersByTimeAsync(DEFAULT_DEADLINES.guestKill);
      await killed;
    } finally {
      vi.useRealTimers();
    }
    for (const id of ["c1", "c2"]) expect(await tasks.wait(id, "")).toMatchObject({ exitStatus: 137 });
    expect(memory.driver.vm("pod").exit).toBeDefined();
    await tasks.delete("c1", "");
    await end();
  });

  it.each([
    ["has obeyed", () => ({})],
    [
      "has no such container",
      () => {
        throw blazarError("ContainerNotFound", "send a signal", "no such container", { subject: "c1" });
      },
    ],
  ])(
    "ends with its VM if the guest says to each SIGKILL that it %s, and tells of no end",
    async (_, answer) => {
      const { memory, tasks, guest, end } = await running();
      guest.faults.ignoresSignals = answer;
      vi.useFakeTimers();
      try {
        const kills = Array.from({ length: 3 }, () => tasks.kill("c1", "", 9, true));
        const waited = tasks.wait("c1", "");
        await vi.advanceTimersByTimeAsync(500);
        await Promise.all(kills);
        const { requests } = guest;
        await vi.waitFor(() =>
          expect(requests.filter(({ op }) => op === "process.signal")).toHaveLength(kills.length + 1),
        );
        await vi.advanceTimersByTimeAsync(DEFAULT_DEADLINES.containerEnd + 1_000);
        expect(await waited).toMatchObject({ exitStatus: 137 });
      } finally {
        vi.useRealTimers();
      }
      expect(memory.driver.vm("pod").exit).toBeDefined();
      await tasks.delete("c1", "");
      await end();
    },
  );

  it("ends with its VM if the guest answers SIGKILL with nonsense", async () => {
    const { memory, tasks, guest, end } = await running();
    guest.faults.nonsense = new Set(["process.signal"]);
    await tasks.kill("c1", "", 9, true);
    expect(await tasks.wait("c1", "")).toMatchObject({ exitStatus: 137 });
    expect(memory.driver.vm("pod").exit).toBeDefined();
    await tasks.delete("c1", "");
    await end();
  });

  it("tells what its processes have started, and does without if the guest does not say it", async () => {
    const { tasks, guest, end } = await running();
    guest.children.set("c1", [7, 9]);
    const [init, ...children] = await tasks.pids("c1");
    expect(init).toEqual({ pid: tasks.state("c1", "").pid, execId: "" });
    expect(children).toEqual([7, 9].map((pid) => ({ pid: 2 ** 30 + pid, execId: "" })));
    guest.faults.hangs = new Set(["container.pids"]);
    vi.useFakeTimers();
    try {
      const asked = tasks.pids("c1");
      await vi.advanceTimersByTimeAsync(DEFAULT_DEADLINES.guestSignal);
      expect(await asked).toEqual([init]);
    } finally {
      vi.useRealTimers();
    }
    guest.faults.hangs = new Set();
    await end();
  });

  it("takes other limits, and refuses what is none before the guest hears of it", async () => {
    const { tasks, guest, end } = await running();
    await tasks.update("c1", { memory: { limit: 4096 }, cpu: { quota: 50_000, period: 100_000 } });
    const limits = { "memory.max": "4096", "cpu.max": "50000 100000" };
    expect(guest.containers.get("c1")?.create.cgroup).toMatchObject(limits);
    await expect(tasks.update("c1", { pids: { limit: "many" } })).rejects.toMatchObject({
      code: "InvalidSpec",
    });
    expect((await tasks.stats("c1")).memoryUsage.limit).toBe(4096n);
    await end();
  });
});

describe("a creation that has left something", () => {
  it("keeps its name from every sandbox until that is undone", async () => {
    const refused = blazarError("MountFailed", "make the container", "no");
    const memory = new MemoryHost({ guest: () => ({ faults: { fails: { "container.create": refused } } }) });
    const { sandboxes, tasks } = memory.actors();
    for (const pod of ["pod", "other"]) {
      await sandboxes.create(podSpec(pod));
      await sandboxes.start(pod);
    }
    memory.driver.vm("pod").faults.detachDisk = blazarError("QmpFailed", "detach", "no");
    await expect(tasks.create(containerRequest("pod", "c1"))).rejects.toMatchObject({ code: "MountFailed" });
    for (const pod of ["pod", "other"])
      await expect(tasks.create(containerRequest(pod, "c1"))).rejects.toMatchObject({
        code: "HostResource",
        details: { reason: "an earlier creation of it, in sandbox pod, could not be undone yet" },
      });
    await sandboxes.shutdown("pod");
    await expect(tasks.create(containerRequest("other", "c1"))).rejects.toMatchObject({
      code: "MountFailed",
    });
    await sandboxes.shutdown("other");
    expect(memory.remains()).toEqual([]);
  });
});

/** The Task adapter: what containerd sends reaches the port, and what the port answers reaches containerd. */
import { status } from "@grpc/grpc-js";
import { describe, expect, it } from "vitest";
import { blazarError } from "../../../src/contracts/errors.ts";
import { Metrics } from "../../../src/rpc/generated/containerd/cgroups/v2/metrics.ts";
import { ProcessDetails } from "../../../src/rpc/generated/containerd/runc/v1/options.ts";
import { Status } from "../../../src/rpc/generated/containerd/types/task.ts";
import { createTaskService } from "../../../src/rpc/task/service.ts";
import { FakeTaskService } from "../../support/fake-services/task-service.ts";
import {
  createRequest,
  makeBundle,
  methods,
  runningTask,
  SPEC,
  taskCalls,
} from "../../support/task-calls.ts";

describe("Task.Create", () => {
  it("hands over the mounts, the parsed spec, the namespace and the sandbox that the bundle names", async () => {
    const { tasks, call } = taskCalls();
    const bundle = await makeBundle({ "config.json": JSON.stringify(SPEC), sandbox: "s1\n" });
    const metadata = { "containerd-namespace-ttrpc": "k8s.io" };
    expect(await call(methods.create, createRequest(bundle), { metadata })).toEqual({ pid: 1000 });
    expect(tasks.created).toEqual([
      {
        id: "c1",
        bundle,
        sandboxId: "s1",
        namespace: "k8s.io",
        spec: SPEC,
        rootfs: [{ type: "overlay", source: "overlay", target: "", options: ["lowerdir=/a"] }],
        stdin: "",
        stdout: "/o",
        stderr: "/e",
        terminal: false,
      },
    ]);
  });

  it("falls back to the sandbox that the spec's annotations name", async () => {
    const { tasks, call } = taskCalls();
    await call(methods.create, createRequest(await makeBundle({ "config.json": JSON.stringify(SPEC) })));
    expect(tasks.created[0]?.sandboxId).toBe("annotated");
  });

  it("ignores the stderr FIFO of a terminal", async () => {
    const { tasks, call } = taskCalls();
    const bundle = await makeBundle({ "config.json": "{}" });
    await call(methods.create, createRequest(bundle, { terminal: true }));
    expect(tasks.created[0]).toMatchObject({ terminal: true, stdout: "/o", stderr: "" });
  });

  it("names the file when the spec is missing or is not JSON", async () => {
    const { call } = taskCalls();
    const missing = call(methods.create, createRequest(await makeBundle({})));
    await expect(missing).rejects.toMatchObject({
      code: status.INVALID_ARGUMENT,
      message: expect.stringContaining("config.json"),
    });
    const broken = call(methods.create, createRequest(await makeBundle({ "config.json": "{" })));
    await expect(broken).rejects.toMatchObject({ code: status.INVALID_ARGUMENT });
  });

  it("refuses an id that would climb out of a directory", async () => {
    const { tasks, call } = taskCalls();
    const bundle = await makeBundle({ "config.json": "{}" });
    const refused = call(methods.create, createRequest(bundle, { id: "../../etc" }));
    await expect(refused).rejects.toMatchObject({ code: status.INVALID_ARGUMENT });
    expect(tasks.created).toEqual([]);
  });

  it("never answers Unimplemented, or containerd would try again as task.v2", async () => {
    const { tasks, call } = taskCalls();
    const bundle = await makeBundle({ "config.json": "{}" });
    tasks.failWith("create", blazarError("Unimplemented", "use it", "not yet"));
    const refused = call(methods.create, createRequest(bundle));
    await expect(refused).rejects.toMatchObject({
      code: status.INVALID_ARGUMENT,
      message: expect.stringContaining("not yet"),
    });
    const restore = call(methods.create, createRequest(bundle, { checkpoint: "/c" }));
    await expect(restore).rejects.toMatchObject({ code: status.INVALID_ARGUMENT });
  });
});

describe("CRI's streaming IO", () => {
  const address = "ttrpc+unix:///run/containerd/x.sock?streaming_id=c1-stdout";
  const refusal = {
    code: status.INVALID_ARGUMENT,
    message: expect.stringMatching(/stdout is "ttrpc\+unix:.*can only be a FIFO.*io_type = 'fifo'/),
  };

  it("is refused for a container, with the key that has to be changed", async () => {
    const { call } = taskCalls();
    const bundle = await makeBundle({ "config.json": JSON.stringify(SPEC), sandbox: "s1" });
    const created = call(methods.create, createRequest(bundle, { stdout: address }));
    await expect(created).rejects.toMatchObject(refusal);
  });

  it("is refused for a process that is added", async () => {
    const { call } = await runningTask();
    const io = { stdin: "", stdout: address, stderr: "" };
    const added = call(methods.exec, { id: "c1", execId: "e1", terminal: false, ...io, spec: undefined });
    await expect(added).rejects.toMatchObject(refusal);
  });
});

describe("the other Task methods", () => {
  it("report the state of a process while it runs and once it has ended", async () => {
    const { tasks, call, bundle } = await runningTask();
    expect(await call(methods.state, { id: "c1", execId: "" })).toEqual({
      id: "c1",
      execId: "",
      bundle,
      pid: 1000,
      status: Status.RUNNING,
      stdin: "",
      stdout: "/o",
      stderr: "/e",
      terminal: false,
      exitStatus: 0,
      exitedAt: undefined,
    });
    tasks.end("c1", "", 3, new Date(1_700_000_000_250));
    expect(await call(methods.state, { id: "c1", execId: "" })).toMatchObject({
      status: Status.STOPPED,
      exitStatus: 3,
      exitedAt: { seconds: 1_700_000_000n, nanos: 250_000_000 },
    });
    expect(await call(methods.delete, { id: "c1", execId: "" })).toMatchObject({ pid: 1000, exitStatus: 3 });
  });

  it("add a process from the JSON in the request", async () => {
    const { tasks, call } = await runningTask();
    const process = { args: ["sh"], cwd: "/" };
    const spec = {
      typeUrl: "types.containerd.io/opencontainers/runtime-spec/1/Process",
      value: Buffer.from(JSON.stringify(process)),
    };
    const io = { stdin: "/i", stdout: "/o", stderr: "/e" };
    await call(methods.exec, { id: "c1", execId: "e1", terminal: true, ...io, spec });
    expect(tasks.execs).toEqual([{ process, ...io, stderr: "", terminal: true }]);
    const broken = { ...spec, value: Buffer.from("{") };
    const refused = call(methods.exec, { id: "c1", execId: "e2", terminal: false, ...io, spec: broken });
    await expect(refused).rejects.toMatchObject({ code: status.INVALID_ARGUMENT });
    const none = call(methods.exec, { id: "c1", execId: "e2", terminal: false, ...io, spec: undefined });
    await expect(none).rejects.toMatchObject({ code: status.INVALID_ARGUMENT });
  });

  it("pass on signals, sizes and the end of input", async () => {
    const { tasks, call } = await runningTask();
    await call(methods.kill, { id: "c1", execId: "", signal: 15, all: true });
    await call(methods.resizePty, { id: "c1", execId: "", width: 80, height: 24 });
    await call(methods.closeIO, { id: "c1", execId: "", stdin: false });
    await call(methods.closeIO, { id: "c1", execId: "", stdin: true });
    await call(methods.shutdown, { id: "c1", now: false });
    expect(tasks.calls).toEqual(["kill c1  15 true", "resizePty c1  80 24", "closeIO c1 ", "shutdown c1"]);
  });

  it("name the pids of a task", async () => {
    const { call } = await runningTask();
    expect(await call(methods.pids, { id: "c1" })).toEqual({ processes: [{ pid: 1000, info: undefined }] });
    expect(await call(methods.connect, { id: "c1" })).toEqual({
      shimPid: process.pid,
      taskPid: 1000,
      version: "3",
    });
  });

  it("tell which pid is an exec's", async () => {
    const { call, tasks } = await runningTask();
    await tasks.exec("c1", "e1", { process: {}, stdin: "", stdout: "", stderr: "", terminal: false });
    const { processes } = await call(methods.pids, { id: "c1" });
    expect(processes[1]?.info?.typeUrl).toBe("containerd.runc.v1.ProcessDetails");
    expect(ProcessDetails.decode(processes[1]?.info?.value ?? new Uint8Array())).toEqual({ execId: "e1" });
  });

  it("pause, resume and update a task", async () => {
    const { call, tasks } = await runningTask();
    const limits = { memory: { limit: 4096 } };
    const any = (value: string) => ({
      typeUrl: "types.LinuxResources",
      value: new TextEncoder().encode(value),
    });
    await call(methods.pause, { id: "c1" });
    await call(methods.resume, { id: "c1" });
    await call(methods.update, { id: "c1", resources: any(JSON.stringify(limits)), annotations: {} });
    expect(tasks.calls).toEqual(["pause c1 ", "resume c1 ", `update c1  ${JSON.stringify(limits)}`]);
    for (const resources of [undefined, any("{")])
      await expect(call(methods.update, { id: "c1", resources, annotations: {} })).rejects.toMatchObject({
        code: status.INVALID_ARGUMENT,
      });
  });

  it("answer statistics as containerd's metrics of cgroup v2", async () => {
    const { call, tasks } = await runningTask();
    Object.assign(tasks.statistics, {
      "memory.current": "4096\n",
      "memory.max": "8192\n",
      "memory.stat": "anon 1024\ninactive_file 100\nnonsense x\n",
      "memory.events": "low 0\noom_kill 2\n",
      "cpu.stat": "usage_usec 5000000\nnr_throttled 3\n",
      "pids.current": "7\n",
      "pids.max": "max\n",
      "io.stat": "8:0 rbytes=10 wbytes=20 rios=1 wios=2 dbytes=0 dios=0\n",
    });
    const { stats } = await call(methods.stats, { id: "c1" });
    expect(stats?.typeUrl).toBe("io.containerd.cgroups.v2.Metrics");
    const metrics = Metrics.decode(stats?.value ?? new Uint8Array());
    expect(metrics).toMatchObject({
      pids: { current: 7n, limit: 2n ** 64n - 1n },
      cpu: { usageUsec: 5_000_000n, nrThrottled: 3n },
      memory: { usage: 4096n, usageLimit: 8192n, anon: 1024n, inactiveFile: 100n, swapLimit: 2n ** 64n - 1n },
      memoryEvents: { oomKill: 2n },
      io: { usage: [{ major: 8n, minor: 0n, rbytes: 10n, wbytes: 20n, rios: 1n, wios: 2n }] },
    });
  });

  it("answer NotFound for an unknown container", async () => {
    const { call } = taskCalls();
    await expect(call(methods.state, { id: "nope", execId: "" })).rejects.toMatchObject({
      code: status.NOT_FOUND,
      message: expect.stringContaining("nope"),
    });
  });

  it("refuse what is not there yet with a sentence, never with an empty success", async () => {
    const { call } = await runningTask();
    const refusal = { code: status.UNIMPLEMENTED, message: expect.stringMatching(/^cannot .+ \(c1\): .+/) };
    const checkpoint = call(methods.checkpoint, { id: "c1", path: "", options: undefined });
    await expect(checkpoint).rejects.toMatchObject(refusal);
  });

  it("are all served", async () => {
    const served = createTaskService(new FakeTaskService()).methods.map(({ name }) => name);
    expect(served.sort()).toEqual(
      Object.values(methods)
        .map(({ name }) => name)
        .sort(),
    );
  });
});

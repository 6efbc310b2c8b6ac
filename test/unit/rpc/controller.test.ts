import { status } from "@grpc/grpc-js";
import { describe, expect, it, vi } from "vitest";
import { type BlazarError, blazarError } from "../../../src/contracts/errors.ts";
import type { SandboxService } from "../../../src/contracts/sandbox.ts";
import { Metrics } from "../../../src/rpc/generated/containerd/cgroups/v2/metrics.ts";
import { ControllerService } from "../../../src/rpc/generated/containerd/services/sandbox/v1/controller.ts";
import type { DeepPartial } from "../../../src/rpc/generated/containerd/types/types.ts";
import { NamespaceMode, PodSandboxConfig } from "../../../src/rpc/generated/runtime/v1/cri.ts";
import { createRequest, ready, sandboxer, serve, TASK_ADDRESS } from "../../support/controller.ts";

function optionsOf(config: DeepPartial<PodSandboxConfig>, typeUrl = "runtime.v1.PodSandboxConfig") {
  return { typeUrl, value: PodSandboxConfig.encode(PodSandboxConfig.fromPartial(config)).finish() };
}

const ID_MAP = { containerId: 0, hostId: 200_000, length: 65_536 };
const MAPPING = { containerId: 0, hostId: 200_000, size: 65_536 };

describe("Controller.Create", () => {
  it("reads the pod's configuration out of the options", async () => {
    const { sandboxes, call } = await serve();
    const options = optionsOf({
      metadata: { name: "web", namespace: "shop", uid: "u-1", attempt: 2 },
      hostname: "web-0",
      dnsConfig: { servers: ["10.0.0.10"], searches: ["svc.local"], options: ["ndots:5"] },
      labels: { app: "web" },
      annotations: { "io.blazar.x": "1" },
      linux: {
        cgroupParent: "/kubepods/pod1",
        sysctls: { "kernel.shm_rmid_forced": "1" },
        securityContext: { namespaceOptions: { pid: NamespaceMode.CONTAINER } },
        resources: { cpuQuota: 150_000, cpuPeriod: 100_000, memoryLimitInBytes: 536_870_912n },
      },
    });
    const request = createRequest({ options, netnsPath: "/run/netns/cni-1" });
    expect(await call(ControllerService.create, request)).toEqual({ sandboxId: "s1" });
    expect(sandboxes.created).toEqual([
      {
        id: "s1",
        hostname: "web-0",
        netnsPath: "/run/netns/cni-1",
        dns: { servers: ["10.0.0.10"], searches: ["svc.local"], options: ["ndots:5"] },
        sysctls: {
          "net.ipv4.ip_unprivileged_port_start": "0",
          "net.ipv4.ping_group_range": "0 2147483647",
          "kernel.shm_rmid_forced": "1",
        },
        pidMode: "container",
        cgroupParent: "/kubepods/pod1",
        name: "web",
        namespace: "shop",
        uid: "u-1",
        attempt: 2,
        labels: { app: "web" },
        annotations: { "io.blazar.x": "1" },
        vcpus: 2,
        memoryBytes: 536_870_912,
      },
    ]);
  });

  it.each([
    [NamespaceMode.POD, "pod"],
    [NamespaceMode.CONTAINER, "container"],
    [NamespaceMode.TARGET, "target"],
  ])("understands PID namespace mode %i as %s", async (pid, pidMode) => {
    const { sandboxes, call } = await serve();
    const options = optionsOf({ linux: { securityContext: { namespaceOptions: { pid } } } });
    await call(ControllerService.create, createRequest({ options }));
    expect(sandboxes.created[0]?.pidMode).toBe(pidMode);
  });

  it.each([
    [
      { mode: NamespaceMode.POD, uids: [ID_MAP], gids: [ID_MAP] },
      { uids: [MAPPING], gids: [MAPPING] },
    ],
    [{ mode: NamespaceMode.NODE, uids: [], gids: [] }, undefined],
    [undefined, undefined],
  ])("understands the user namespace %j", async (usernsOptions, expected) => {
    const { sandboxes, call } = await serve();
    const options = optionsOf({ linux: { securityContext: { namespaceOptions: { usernsOptions } } } });
    await call(ControllerService.create, createRequest({ options }));
    expect(sandboxes.created[0]?.userNamespace).toEqual(expected);
  });

  it.each([
    [{ mode: NamespaceMode.POD, uids: [], gids: [ID_MAP] }, "uids: no id is mapped"],
    [
      { mode: NamespaceMode.POD, uids: [ID_MAP], gids: [{ ...ID_MAP, containerId: 5 }] },
      "gids: id 0 is not mapped",
    ],
    [{ mode: NamespaceMode.CONTAINER, uids: [ID_MAP], gids: [ID_MAP] }, "neither POD nor NODE"],
  ])("refuses a pod whose user namespace no container could have: %j", async (usernsOptions, words) => {
    const { sandboxes, call } = await serve();
    const options = optionsOf({ linux: { securityContext: { namespaceOptions: { usernsOptions } } } });
    await expect(call(ControllerService.create, createRequest({ options }))).rejects.toMatchObject({
      code: status.INVALID_ARGUMENT,
      message: expect.stringContaining(words),
    });
    expect(sandboxes.created).toEqual([]);
  });

  it.each(["pid", "ipc"])(
    "refuses a pod that asks for the host's %s namespace, by the field's name",
    async (type) => {
      const { sandboxes, call } = await serve();
      const namespaceOptions = { [type]: NamespaceMode.NODE };
      const options = optionsOf({ linux: { securityContext: { namespaceOptions } } });
      await expect(call(ControllerService.create, createRequest({ options }))).rejects.toMatchObject({
        code: status.INVALID_ARGUMENT,
        message: expect.stringContaining(`host${type.toUpperCase()}: the host's`),
      });
      expect(sandboxes.created).toEqual([]);
    },
  );

  it("takes a type url with a host in front", async () => {
    const { sandboxes, call } = await serve();
    const options = optionsOf({ hostname: "h" }, "type.googleapis.com/runtime.v1.PodSandboxConfig");
    await call(ControllerService.create, createRequest({ options }));
    expect(sandboxes.created[0]?.hostname).toBe("h");
  });

  it.each([
    ["a".repeat(65), "hostname has 65 bytes; there may be 64"],
    ["a\n10.0.0.1 other", "has a space or a control character"],
    ["a\0", "has a space or a control character"],
  ])("refuses a host name that the guest could not have: %j", async (hostname, words) => {
    const { sandboxes, call } = await serve();
    const options = optionsOf({ hostname });
    await expect(call(ControllerService.create, createRequest({ options }))).rejects.toThrow(words);
    expect(sandboxes.created).toEqual([]);
  });

  it("falls back to the JSON that CRI keeps in the sandbox's metadata", async () => {
    const { sandboxes, call } = await serve();
    const metadata = {
      Version: "v1",
      Metadata: {
        ID: "s1",
        Config: {
          metadata: { name: "web", uid: "u-1", namespace: "shop" },
          hostname: "web-0",
          dns_config: { servers: ["10.0.0.10"] },
          labels: { app: "web" },
          linux: { cgroup_parent: "/p", security_context: { namespace_options: { pid: 1 } } },
        },
      },
    };
    const extension = {
      typeUrl: "github.com/containerd/cri/pkg/store/sandbox/Metadata",
      value: Buffer.from(JSON.stringify(metadata)),
    };
    await call(ControllerService.create, createRequest({ sandbox: { extensions: { metadata: extension } } }));
    expect(sandboxes.created[0]).toMatchObject({
      hostname: "web-0",
      name: "web",
      namespace: "shop",
      uid: "u-1",
      pidMode: "container",
      cgroupParent: "/p",
      dns: { servers: ["10.0.0.10"], searches: [], options: [] },
      labels: { app: "web" },
    });
  });

  it("makes a sandbox with defaults when it is told nothing", async () => {
    const { sandboxes, call } = await serve();
    await call(ControllerService.create, createRequest());
    expect(sandboxes.created[0]).toMatchObject({ id: "s1", hostname: "", netnsPath: "" });
    expect(sandboxes.created[0]).not.toHaveProperty("memoryBytes");
    expect(sandboxes.created[0]).not.toHaveProperty("dns");
    expect(sandboxes.created[0]).not.toHaveProperty("sysctls");
  });

  it("tells DNS settings that are empty from none", async () => {
    const { sandboxes, call } = await serve();
    await call(ControllerService.create, createRequest({ options: optionsOf({ dnsConfig: {} }) }));
    expect(sandboxes.created[0]?.dns).toEqual({ servers: [], searches: [], options: [] });
  });

  it("refuses a sysctl that is not the pod's, by its name", async () => {
    const { call } = await serve();
    const options = optionsOf({ linux: { sysctls: { "kernel.panic": "1" } } });
    await expect(call(ControllerService.create, createRequest({ options }))).rejects.toMatchObject({
      code: status.INVALID_ARGUMENT,
      message: expect.stringContaining('sysctl "kernel.panic" is not in a separate kernel namespace'),
    });
  });

  it("refuses a configuration that it cannot read, an impossible id, and a second creation", async () => {
    const { sandboxes, call } = await serve();
    const options = { typeUrl: "runtime.v1.PodSandboxConfig", value: new Uint8Array([0x0a, 0xff]) };
    await expect(call(ControllerService.create, createRequest({ options }))).rejects.toMatchObject({
      code: status.INVALID_ARGUMENT,
    });
    for (const sandboxId of ["", "../up", "a/b", "x".repeat(200)]) {
      await expect(call(ControllerService.create, createRequest({ sandboxId }))).rejects.toMatchObject({
        code: status.INVALID_ARGUMENT,
      });
    }
    expect(sandboxes.created).toEqual([]);
    await call(ControllerService.create, createRequest());
    await expect(call(ControllerService.create, createRequest())).rejects.toMatchObject({
      code: status.ALREADY_EXISTS,
      details: expect.stringContaining("s1"),
    });
  });
});

describe("the other Controller methods", () => {
  it("say in Start and Status where the Task service is", async () => {
    const { call } = await serve();
    await call(ControllerService.create, createRequest());
    const created = { seconds: 1_714_979_289n, nanos: 123_000_000 };
    expect(await call(ControllerService.start, { sandboxId: "s1", sandboxer })).toEqual({
      sandboxId: "s1",
      pid: 4711,
      createdAt: created,
      labels: {},
      address: TASK_ADDRESS,
      version: 3,
    });
    expect(await call(ControllerService.status, { sandboxId: "s1", verbose: false, sandboxer })).toEqual({
      sandboxId: "s1",
      pid: 4711,
      state: "SANDBOX_READY",
      info: {},
      createdAt: created,
      exitedAt: undefined,
      extra: undefined,
      address: TASK_ADDRESS,
      version: 3,
    });
  });

  it("call a sandbox ready only while it is", async () => {
    const { sandboxes, call } = await serve();
    const state = async (): Promise<string> =>
      (await call(ControllerService.status, { sandboxId: "s1", verbose: false, sandboxer })).state;
    await call(ControllerService.create, createRequest());
    expect(await state()).toBe("SANDBOX_NOTREADY");
    await call(ControllerService.start, { sandboxId: "s1", sandboxer });
    expect(await state()).toBe("SANDBOX_READY");
    sandboxes.end("s1", 137, new Date());
    expect(await state()).toBe("SANDBOX_NOTREADY");
  });

  it("show the sandboxer's facts on a verbose Status", async () => {
    const { call } = await ready();
    const { info } = await call(ControllerService.status, { sandboxId: "s1", verbose: true, sandboxer });
    expect(info).toEqual({ driver: "fake", phase: "ready" });
  });

  it("say that containers are Linux's", async () => {
    const { call } = await ready();
    const { platform } = await call(ControllerService.platform, { sandboxId: "s1", sandboxer });
    expect(platform).toEqual({ os: "linux", architecture: "amd64", variant: "", osVersion: "" });
  });

  it("pass Stop's timeout on in milliseconds, and bound it when there is none", async () => {
    const { sandboxes, call } = await ready();
    await call(ControllerService.stop, { sandboxId: "s1", timeoutSecs: 7, sandboxer });
    await call(ControllerService.stop, { sandboxId: "s1", timeoutSecs: 0, sandboxer });
    expect(sandboxes.stopTimeouts[0]).toBe(7_000);
    expect(sandboxes.stopTimeouts[1]).toBeGreaterThan(0);
  });

  it("forget a sandbox on Shutdown", async () => {
    const { call } = await ready();
    await call(ControllerService.shutdown, { sandboxId: "s1", sandboxer });
    await expect(
      call(ControllerService.status, { sandboxId: "s1", verbose: false, sandboxer }),
    ).rejects.toMatchObject({ code: status.NOT_FOUND });
  });

  it("tell by Metrics what the pod's containers use", async () => {
    const { sandboxes, call } = await ready();
    sandboxes.used = {
      ...sandboxes.used,
      cpu: new Map([["usage_usec", 7n]]),
      memoryUsage: { current: 5n, limit: undefined, peak: 6n },
    };
    const { metrics } = await call(ControllerService.metrics, { sandboxId: "s1", sandboxer });
    expect(metrics?.id).toBe("s1");
    expect(metrics?.data?.typeUrl).toBe("io.containerd.cgroups.v2.Metrics");
    const { cpu, memory } = Metrics.decode(metrics?.data?.value ?? new Uint8Array());
    expect([cpu?.usageUsec, memory?.usage, memory?.usageLimit]).toEqual([7n, 5n, 2n ** 64n - 1n]);
  });

  it.each<[keyof SandboxService, BlazarError, status]>([
    ["start", blazarError("VmmNotInstalled", "x", "y"), status.FAILED_PRECONDITION],
    ["start", blazarError("GuestNotReady", "x", "y"), status.DEADLINE_EXCEEDED],
    ["stop", blazarError("HostResource", "x", "y"), status.INTERNAL],
  ])("translate what %s fails with", async (method, error, code) => {
    const { sandboxes, call } = await serve();
    await call(ControllerService.create, createRequest());
    sandboxes.failWith(method, error);
    const failed =
      method === "start"
        ? call(ControllerService.start, { sandboxId: "s1", sandboxer })
        : call(ControllerService.stop, { sandboxId: "s1", timeoutSecs: 1, sandboxer });
    await expect(failed).rejects.toMatchObject({ code, details: error.message });
  });

  it("cancel a Start whose caller went away", async () => {
    const { sandboxes, call } = await serve();
    await call(ControllerService.create, createRequest());
    sandboxes.holdStart(new Promise(() => undefined));
    const starting = vi.spyOn(sandboxes, "start");
    const caller = new AbortController();
    const start = call(ControllerService.start, { sandboxId: "s1", sandboxer }, { signal: caller.signal });
    const failed = expect(start).rejects.toMatchObject({ code: status.CANCELLED });
    await vi.waitFor(() => expect(starting).toHaveBeenCalledOnce());
    caller.abort();
    await failed;
    await expect(starting.mock.results[0]?.value).rejects.toMatchObject({ code: "Cancelled" });
  });
});

describe("Controller.Wait", () => {
  it("returns when the sandbox ends, with its status and time", async () => {
    const { sandboxes, call } = await ready();
    const wait = call(ControllerService.wait, { sandboxId: "s1", sandboxer });
    await call(ControllerService.status, { sandboxId: "s1", verbose: false, sandboxer });
    sandboxes.end("s1", 137, new Date(1_700_000_000_000));
    expect(await wait).toEqual({ exitStatus: 137, exitedAt: { seconds: 1_700_000_000n, nanos: 0 } });
  });

  it("answers NotFound for an unknown sandbox", async () => {
    const { call } = await serve();
    await expect(call(ControllerService.wait, { sandboxId: "s9", sandboxer })).rejects.toMatchObject({
      code: status.NOT_FOUND,
    });
  });

  it("answers Unavailable to any failure that does not prove the sandbox's end", async () => {
    const { sandboxes, call } = await ready();
    sandboxes.failWith("wait", new TypeError("bug"));
    await expect(call(ControllerService.wait, { sandboxId: "s1", sandboxer })).rejects.toMatchObject({
      code: status.UNAVAILABLE,
    });
  });

  it("answers Unavailable when the daemon drains, so that containerd asks the next one", async () => {
    const { sandboxes, server, call } = await ready();
    const waiting = vi.spyOn(sandboxes, "wait");
    const wait = call(ControllerService.wait, { sandboxId: "s1", sandboxer });
    const failed = expect(wait).rejects.toMatchObject({ code: status.UNAVAILABLE });
    await vi.waitFor(() => expect(waiting).toHaveBeenCalledOnce());
    await server.drain(5_000);
    await failed;
  });
});

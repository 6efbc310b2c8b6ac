/** Controller.Update as containerd 2.3 sends it for UpdatePodSandboxResources: JSON of Go's structs in an extension. */
import { status } from "@grpc/grpc-js";
import { describe, expect, it } from "vitest";
import { blazarError } from "../../../src/contracts/errors.ts";
import {
  ControllerService,
  ControllerUpdateRequest,
} from "../../../src/rpc/generated/containerd/services/sandbox/v1/controller.ts";
import { ready, sandboxer, serve } from "../../support/controller.ts";

const MEBIBYTE = 2 ** 20;

function update(json: unknown, changes: { sandboxId?: string; fields?: string[] } = {}) {
  const text = typeof json === "string" ? json : JSON.stringify(json);
  const extension = { typeUrl: "io.containerd.cri.v1/UpdatedResources", value: Buffer.from(text) };
  return ControllerUpdateRequest.fromPartial({
    ...{ sandboxId: "s1", sandboxer, fields: ["extensions"] },
    ...changes,
    sandbox: { sandboxId: "s1", extensions: { "updated-resources": extension } },
  });
}

describe("Controller.Update", () => {
  it("changes the pod's limits", async () => {
    const { call, sandboxes } = await ready();
    const request = update({
      Overhead: { cpu_period: 100_000, cpu_quota: 25_000, memory_limit_in_bytes: 64 * MEBIBYTE },
      Resources: {
        cpu_period: 100_000,
        cpu_quota: 150_000,
        cpu_shares: 1536,
        memory_limit_in_bytes: 256 * MEBIBYTE,
      },
    });
    expect(await call(ControllerService.update, request)).toEqual({});
    const limits = {
      containers: { cpu: { quota: 150_000, period: 100_000 }, memoryBytes: 256 * MEBIBYTE },
      overhead: { cpu: { quota: 25_000, period: 100_000 }, memoryBytes: 64 * MEBIBYTE },
    };
    expect(sandboxes.resized).toEqual([{ id: "s1", limits }]);
  });

  it.each([
    ["Go's nil", { Overhead: null, Resources: null }],
    ["nothing", {}],
    ["none", { Resources: { cpu_quota: -1, cpu_period: 100_000, memory_limit_in_bytes: -1, cpu_shares: 2 } }],
  ])("takes %s for no limit", async (_name, json) => {
    const { call, sandboxes } = await ready();
    await call(ControllerService.update, update(json));
    expect(sandboxes.resized).toEqual([{ id: "s1", limits: { containers: {}, overhead: {} } }]);
  });

  it("changes nothing for parts of containerd's record that are its own", async () => {
    const { call, sandboxes } = await ready();
    await call(ControllerService.update, update({}, { fields: ["labels"] }));
    await call(ControllerService.update, ControllerUpdateRequest.fromPartial({ sandboxId: "s1", sandboxer }));
    expect(sandboxes.resized).toEqual([]);
  });

  it.each([
    ["no JSON", "{"],
    ["words where numbers belong", { Resources: { memory_limit_in_bytes: "256Mi" } }],
  ])("refuses %s", async (_name, json) => {
    const { call } = await ready();
    const details = expect.stringMatching(/^cannot read the pod's new limits \(s1\): /);
    const refusal = { code: status.INVALID_ARGUMENT, details };
    await expect(call(ControllerService.update, update(json))).rejects.toMatchObject(refusal);
  });

  it("says why a pod cannot have them, and never Unimplemented, which containerd takes for success", async () => {
    const { call, sandboxes } = await ready();
    sandboxes.failWith("resize", blazarError("ResourceExhausted", "resize the pod", "its VM has 2"));
    const refusal = { code: status.RESOURCE_EXHAUSTED, details: "cannot resize the pod: its VM has 2" };
    await expect(call(ControllerService.update, update({}))).rejects.toMatchObject(refusal);
  });

  it("knows no sandbox that was not created", async () => {
    const { call } = await serve();
    for (const request of [update({}), update({}, { fields: ["labels"] })])
      await expect(call(ControllerService.update, request)).rejects.toMatchObject({ code: status.NOT_FOUND });
  });
});

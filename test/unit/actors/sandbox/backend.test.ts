/** Sandboxes that are no VM: the seam of src/backends/ is enough for a sandbox's whole life. */
import { EMPTY } from "rxjs";
import { describe, expect, it } from "vitest";
import { fromEventObservable, fromPromise } from "xstate";
import type { Backend, BackendOpening, SandboxBackend } from "../../../../src/backends/backend.ts";
import { blazarError } from "../../../../src/contracts/errors.ts";
import { vmBootMachine } from "../../../../src/machines/vm-boot.machine.ts";
import type {
  AcquireInput,
  VmBootEffectInput,
  VmBootEvent,
  VmOrigin,
} from "../../../../src/machines/vm-boot.setup.ts";
import { MemoryHost } from "../../../support/memory-host/host.ts";
import { podSpec } from "../../../support/memory-host/pods.ts";

const PID = 4242;

/** Notes what is asked of its sandboxes; no containers can be made in them. */
class NotedBackend implements Backend {
  readonly name = "noted";
  readonly asked: string[] = [];
  readonly boot = vmBootMachine.provide({
    actors: {
      acquire: fromPromise<{ origin: VmOrigin }, AcquireInput>(async () => ({ origin: "boot" })),
      boot: fromPromise<{ pid: number }, VmBootEffectInput>(async () => ({ pid: PID })),
      connectAgent: fromPromise<void, VmBootEffectInput>(async () => undefined),
      setUpGuest: fromPromise<void, VmBootEffectInput>(async () => undefined),
      vmm: fromEventObservable<VmBootEvent, VmBootEffectInput>(() => EMPTY),
    },
  });

  open({ spec: { id } }: BackendOpening): SandboxBackend {
    const note = (what: string): void => void this.asked.push(`${what} ${id}`);
    return {
      limits: { memoryBytes: 2 ** 30, tasks: 100 },
      prepare: async () => note("prepare"),
      adopt: async () => ({ pid: PID, containers: [] }),
      adoptContainer: () => Promise.reject(new Error("there are no containers here")),
      enter: () => note("enter"),
      endBoot: () => note("end the boot of"),
      vmmEvents$: () => EMPTY,
      agentEvents$: () => EMPTY,
      container: () => {
        throw blazarError("Unimplemented", "make a container", "there are none here", { subject: id });
      },
      shutDown: async () => note("shut down"),
      end: async () => note("end"),
      finish: async () => note("finish"),
      resize: async () => note("resize"),
      size: () => ({ vcpus: 0, memoryBytes: 0 }),
      info: () => ({ backend: this.name }),
      diagnostics: async () => "",
      readLog: async () => ({ bytes: new Uint8Array(), written: 0 }),
      openShell: () => Promise.reject(new Error("there is no guest")),
    };
  }
}

describe("a sandbox that is no VM", () => {
  it("is made, started, told about and taken down through its backend alone", async () => {
    const memory = new MemoryHost();
    const backend = new NotedBackend();
    Object.assign(memory.ports, { backend });
    const { sandboxes } = memory.actors();
    await sandboxes.create(podSpec("s1"));
    expect(await sandboxes.start("s1")).toMatchObject({ pid: PID });
    expect(sandboxes.status("s1")).toMatchObject({ phase: "ready", info: { backend: "noted" } });
    expect(memory.driver.running).toEqual([]);
    await sandboxes.shutdown("s1");
    expect(backend.asked).toEqual([
      "prepare s1",
      "enter s1",
      "end the boot of s1",
      "shut down s1",
      "end s1",
      "end s1",
      "finish s1",
    ]);
    expect(memory.remains()).toEqual([]);
  });
});

import { describe, expect, it } from "vitest";
import { GuestLink } from "../../../src/actors/guest/link.ts";
import {
  prepareTemplateGuest,
  type TemplateGuestHost,
} from "../../../src/actors/supply/ahead/template-guest.ts";
import { silentLogger } from "../../../src/contracts/logger.ts";
import { nodeText } from "../../../src/lib/text.ts";
import type { GuestFaults } from "../../support/fake-guest/guest.ts";
import { FakeVmmDriver } from "../../support/fake-vmm/driver.ts";
import type { FakeVm } from "../../support/fake-vmm/vm.ts";

const LIMIT_MS = 20;

function launch(faults: GuestFaults): Promise<FakeVm> {
  return new FakeVmmDriver({ guest: () => ({ faults, script: () => ({ exit: 0 }) }) }).launch({
    id: "template",
    directory: "/nowhere",
    vcpus: 1,
    memoryBytes: 2 ** 28,
    nics: 1,
    user: undefined,
    cgroups: [],
    source: { kind: "boot" as const },
  });
}

const host: TemplateGuestHost = {
  session: "daemon",
  text: nodeText,
  logger: silentLogger,
  deadlines: { firstSign: 60_000, agentHello: LIMIT_MS, guestRequest: LIMIT_MS },
};
const { signal } = new AbortController();

describe("a guest that becomes a template", () => {
  it("has answered, and takes the daemon that built it for a stranger afterwards", async () => {
    const vm = await launch({});
    expect(await prepareTemplateGuest(host, vm, undefined, signal)).toMatchObject({ role: "guest" });
    const link = new GuestLink(await vm.connectAgent(), { ...host, sandboxId: "clone" });
    await link.hello;
    // the first request of a link has the number that the set-up had: a remembered answer would be null
    const limits = { deadlineMs: 1000 };
    await expect(link.request("container.pids", { id: "none" }, limits)).rejects.toThrow("none");
    link.close();
  });

  it("has mounted its disk last, after the rehearsals", async () => {
    const vm = await launch({});
    await prepareTemplateGuest(host, vm, "prepared", signal);
    const asked = vm.guest.requests.map(({ op }) => op);
    expect(asked.indexOf("disk.prepare")).toBeGreaterThan(asked.lastIndexOf("container.delete"));
    expect([...vm.guest.preparedDisks]).toEqual(["prepared"]);
  });

  it("has a child that waits for the first container, last of all", async () => {
    const vm = await launch({});
    await prepareTemplateGuest(host, vm, "prepared", signal);
    const asked = vm.guest.requests.map(({ op }) => op);
    expect(asked.slice(-3)).toEqual(["disk.prepare", "child.prepare", "ping"]);
    // and one for each rehearsal
    expect(asked.filter((op) => op === "child.prepare")).toHaveLength(3);
  });

  it("is a template, too, if it cannot prepare a child", async () => {
    const vm = await launch({ hangs: new Set(["child.prepare"]) });
    expect(await prepareTemplateGuest(host, vm, undefined, signal)).toMatchObject({ role: "guest" });
  });

  it("is a template, too, if it cannot prepare its disk", async () => {
    const vm = await launch({ hangs: new Set(["disk.prepare"]) });
    expect(await prepareTemplateGuest(host, vm, "prepared", signal)).toMatchObject({ role: "guest" });
  });

  it.each([
    ["says nothing", { silent: true }, "GuestNotReady"],
    ["does not answer", { hangs: new Set(["ping"]) }, "DeadlineExceeded"],
    ["is of another release", { helloVersion: 99 }, "ProtocolVersion"],
  ] satisfies [string, GuestFaults, string][])("is refused if it %s", async (_, faults, code) => {
    await expect(prepareTemplateGuest(host, await launch(faults), undefined, signal)).rejects.toMatchObject({
      code,
    });
  });

  it("is given up long before the deadline if it shows no sign of life", async () => {
    const quick = { ...host, deadlines: { firstSign: LIMIT_MS, agentHello: 60_000, guestRequest: 60_000 } };
    const vm = await launch({ silent: true });
    await expect(prepareTemplateGuest(quick, vm, undefined, signal)).rejects.toThrow("no sign of life");
  });

  it("is given up when the build is", async () => {
    const controller = new AbortController();
    const patient = { ...host, deadlines: { firstSign: 60_000, agentHello: 60_000, guestRequest: 60_000 } };
    const waiting = prepareTemplateGuest(
      patient,
      await launch({ silent: true }),
      undefined,
      controller.signal,
    );
    controller.abort();
    await expect(waiting).rejects.toMatchObject({ code: "Cancelled" });
  });
});

/** A container's image: attached to its VM once for all containers of an OCI image, and given back when the VM has let go. */
import { describe, expect, it, vi } from "vitest";
import { VmImages } from "../../../../src/actors/vm/vm-images.ts";
import { blazarError } from "../../../../src/contracts/errors.ts";
import type { ContainerCreate } from "../../../../src/protocol/guest/messages.ts";
import type { GuestFaults } from "../../../support/fake-guest/guest.ts";
import type { VmFaults } from "../../../support/fake-vmm/vm.ts";
import { MemoryHost } from "../../../support/memory-host/host.ts";
import { containerRequest, podSpec } from "../../../support/memory-host/pods.ts";
import { rehearsable, WarmStock } from "../../../support/memory-host/warm-stock.ts";

const REFUSED = blazarError("QmpFailed", "attach an image", "not today");

async function pod(faults: VmFaults = {}, guestFaults: GuestFaults = {}) {
  const memory = new MemoryHost({ faults: () => faults, guest: () => ({ faults: guestFaults }) });
  const { sandboxes, tasks } = memory.actors();
  await sandboxes.create(podSpec("pod"));
  await sandboxes.start("pod");
  const vm = memory.driver.vm("pod");
  const roots = () =>
    vm.guest.requests.flatMap(({ op, params }) =>
      op === "container.create" ? [(params as ContainerCreate).rootfs] : [],
    );
  const end = async () => {
    await sandboxes.shutdown("pod");
    return memory.remains();
  };
  const told = () => memory.logger.lines.filter(({ message }) => message.includes("image cannot be used"));
  const create = (id: string) => tasks.create(containerRequest("pod", id));
  const remove = async (id: string) => {
    await tasks.kill(id, "", 9, true);
    await tasks.delete(id, "");
  };
  return { memory, sandboxes, vm, roots, told, create, remove, end };
}

describe("a container's image", () => {
  it("is in a slot of its VM, and the guest is told which", async () => {
    const { memory, vm, roots, create, remove, end } = await pod();
    await create("c1");
    expect([...vm.images.keys()]).toEqual(["slot0"]);
    expect(roots()).toMatchObject([{ kind: "image", path: "", imageSerials: ["slot0"] }]);
    expect(memory.images.leases).toHaveLength(1);
    await remove("c1");
    expect([...vm.images.keys()]).toEqual([]);
    expect(memory.images.leases).toEqual([]);
    expect(await end()).toEqual([]);
  });

  it("is one disk for two containers that are created at once, and stays until both are gone", async () => {
    const { vm, roots, create, remove, end } = await pod();
    await Promise.all([create("c1"), create("c2")]);
    expect([...vm.images.keys()]).toEqual(["slot0"]);
    expect(roots().map(({ imageSerials }) => imageSerials)).toEqual([["slot0"], ["slot0"]]);
    await remove("c1");
    expect([...vm.images.keys()]).toEqual(["slot0"]);
    await remove("c2");
    expect([...vm.images.keys()]).toEqual([]);
    expect(await end()).toEqual([]);
  });

  it("needs no share: nothing is mounted on the host", async () => {
    const { memory, create, end } = await pod();
    await create("c1");
    expect([...memory.resources].filter((name) => name.startsWith("rootfs"))).toEqual([]);
    expect(await end()).toEqual([]);
  });

  it("that is not there yet leaves the container to the share", async () => {
    const { memory, roots, told, create, end } = await pod();
    memory.images.available = false;
    await create("c1");
    expect(roots()).toMatchObject([{ kind: "layers", path: "c1/rootfs", imageSerials: [] }]);
    expect(told()).toEqual([]);
    expect(await end()).toEqual([]);
  });

  it("that cannot be attached leaves the container to the share, told once", async () => {
    const { memory, roots, told, create, end } = await pod({ attachImage: REFUSED });
    await create("c1");
    expect(roots()).toMatchObject([{ kind: "layers", path: "c1/rootfs", imageSerials: [] }]);
    expect(told()).toHaveLength(1);
    expect(memory.images.leases).toEqual([]);
    expect(await end()).toEqual([]);
  });

  it("that the guest cannot mount leaves the container to the share, told once", async () => {
    const mountImage = blazarError("ImageBroken", "mount an image", "no such superblock");
    const { memory, vm, roots, told, create, end } = await pod({}, { mountImage });
    await create("c1");
    expect(roots()).toMatchObject([
      { kind: "image" },
      { kind: "layers", path: "c1/rootfs", imageSerials: [] },
    ]);
    expect(told()).toHaveLength(1);
    expect([...vm.images.keys(), ...memory.images.leases]).toEqual([]);
    expect(await end()).toEqual([]);
  });

  it.each([
    ["CommandNotFound", "run"],
    ["MountFailed", "make a mount point in the container"],
    ["StorageFailed", "find a disk"],
  ] as const)("is no excuse for what else a guest refuses (%s)", async (code, operation) => {
    const refusal = blazarError(code, operation, "no such file");
    const { roots, told, create, end } = await pod({}, { fails: { "container.create": refusal } });
    await expect(create("c1")).rejects.toMatchObject({ code });
    expect(roots()).toHaveLength(1);
    expect(told()).toEqual([]);
    expect(await end()).toEqual([]);
  });

  it("is given back when its VM dies while it is attached", async () => {
    const { memory, vm, told, create, end } = await pod({ attachImage: "hangs" });
    const created = create("c1");
    created.catch(() => undefined);
    await vi.waitFor(() => expect(memory.images.leases).toHaveLength(1));
    vm.die(-1, 9);
    await expect(created).rejects.toMatchObject({ code: expect.stringMatching(/VmmExited|GuestLost/) });
    expect(told()).toEqual([]);
    expect(await end()).toEqual([]);
  });

  it("is given back by a guest that is lost, after the VM has let go of it", async () => {
    const { memory, sandboxes, vm, create, end } = await pod();
    await create("c1");
    vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout"] });
    try {
      vm.guest.breakLink();
      await Promise.all([sandboxes.stop("pod", 0), vi.advanceTimersByTimeAsync(300_000)]);
    } finally {
      vi.useRealTimers();
    }
    expect(memory.images.leases).toEqual([]);
    expect(await end()).toEqual([]);
  });

  it("stays with its VM if the VM does not let go of it, and is given back with the VM", async () => {
    const { memory, vm, create, remove, end } = await pod({ detachImage: REFUSED });
    await create("c1");
    await expect(remove("c1")).rejects.toMatchObject({ code: "QmpFailed" });
    expect(memory.images.leases).toHaveLength(1);
    expect([...vm.images.keys()]).toEqual(["slot0"]);
    expect(await end()).toEqual([]);
  });
});

describe("a rehearsal", () => {
  it("runs with an image, and leaves the slot empty", async () => {
    const memory = new MemoryHost({ guest: () => rehearsable });
    const stock = await WarmStock.of(memory, 1);
    const [id = ""] = stock.ids;
    const { guest, images } = memory.driver.vm(id);
    const kinds = guest.requests.flatMap(({ op, params }) =>
      op === "container.create" ? [(params as ContainerCreate).rootfs.kind] : [],
    );
    expect(kinds).toEqual(["image", "image"]);
    expect([...images.keys()]).toEqual([]);
    expect(memory.images.leases).toEqual([]);
    await stock.end();
    expect(memory.remains()).toEqual([]);
  });
});

describe("the images of a VM", () => {
  it("can be tried again after a failure, and are detached again after one", async () => {
    let works = false;
    const calls: string[] = [];
    const refuse = (call: string) => {
      calls.push(call);
      if (!works) throw REFUSED;
    };
    const images = new VmImages({
      attachImage: async ({ id }) => {
        refuse(`attach ${id}`);
        return "slot0";
      },
      detachImage: async (serial) => refuse(`detach ${serial}`),
    });
    const image = { key: "k", path: "/k" };
    const both = await Promise.allSettled([images.use(image), images.use(image)]);
    expect(both.map(({ status }) => status)).toEqual(["rejected", "rejected"]);
    works = true;
    expect(await images.use(image)).toMatchObject({ serial: "slot0" });
    works = false;
    await expect(images.release("k")).rejects.toBe(REFUSED);
    works = true;
    await images.release("k");
    await images.release("k");
    expect(calls).toEqual(["attach image-1", "attach image-2", "detach slot0", "detach slot0"]);
  });
});

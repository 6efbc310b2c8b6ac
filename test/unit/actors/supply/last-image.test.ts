/** A warm VM has the image ahead that a container has used last, and holds it until it ends. */
import { describe, expect, it, vi } from "vitest";
import { blazarError } from "../../../../src/contracts/errors.ts";
import type { RootfsRequest } from "../../../../src/contracts/storage.ts";
import type { ContainerCreate } from "../../../../src/protocol/guest/messages.ts";
import type { GuestFaults } from "../../../support/fake-guest/guest.ts";
import type { VmFaults } from "../../../support/fake-vmm/vm.ts";
import { MemoryHost } from "../../../support/memory-host/host.ts";
import { containerRequest, podSpec } from "../../../support/memory-host/pods.ts";
import { rehearsable } from "../../../support/memory-host/warm-stock.ts";

const WITHIN = { timeout: 5_000 };
const KEY = Buffer.from("/layer").toString("hex");

interface Faults {
  readonly vm?: VmFaults;
  readonly guest?: GuestFaults;
}

type Meanwhile = (memory: MemoryHost) => unknown;

/** A pool that begins to fill after a pod has run a container of `/layer`. */
async function pooled(faults: Faults = {}, meanwhile: Meanwhile = () => undefined) {
  let now: Faults = {};
  const memory = new MemoryHost({
    faults: () => ({ ...now.vm }),
    guest: () => ({ ...rehearsable, faults: { ...now.guest } }),
  });
  const { sandboxes, tasks, pool } = memory.actors({ max: 1 });
  await sandboxes.create(podSpec("first"));
  await sandboxes.start("first");
  await tasks.create(containerRequest("first", "c0"));
  await sandboxes.shutdown("first");
  now = faults;
  await meanwhile(memory);
  pool.start();
  const made = async () => {
    await vi.waitFor(() => expect(memory.driver.running).toHaveLength(1), { ...WITHIN, interval: 1 });
    const [id = ""] = memory.driver.running;
    return memory.driver.vm(id);
  };
  const told = () => memory.logger.lines.filter(({ message }) => message.includes("ahead"));
  const end = async () => {
    await sandboxes.drain();
    await pool.close();
    return memory.remains();
  };
  return { memory, sandboxes, tasks, pool, made, told, end };
}

/** The same when its VM is warm. */
async function warm(faults: Faults = {}, meanwhile?: Meanwhile) {
  const { made, ...all } = await pooled(faults, meanwhile);
  const { sandboxes, tasks, pool } = all;
  await vi.waitFor(() => expect(pool.size).toBe(1), WITHIN);
  const vm = await made();
  const { id } = vm;
  const images = () => [...vm.images].map(([serial, { path }]) => `${serial} ${path}`);
  const adopt = async () => {
    await sandboxes.create(podSpec("pod"));
    await sandboxes.start("pod");
    expect(sandboxes.status("pod").info).toMatchObject({ boot: "pool", vm: id });
  };
  const create = async (container: string) => {
    await tasks.create(containerRequest("pod", container));
    const created = vm.guest.requests.flatMap(({ op, params }) =>
      op === "container.create" ? [(params as ContainerCreate).rootfs] : [],
    );
    return created.at(-1);
  };
  const remove = async (container: string) => {
    await tasks.kill(container, "", 9, true);
    await tasks.delete(container, "");
  };
  return { ...all, id, vm, images, adopt, create, remove };
}

/** From now on containers are of another OCI image. */
function useOtherLayers(memory: MemoryHost): void {
  const { ports } = memory;
  const { plan } = ports.rootfs;
  Object.assign(ports.rootfs, {
    plan: async (request: RootfsRequest) => {
      const planned = await plan(request);
      if (planned.lower?.kind !== "image") return planned;
      await memory.images.release(planned.lower.key, request.containerId);
      const lease = await memory.images.use(["/other"], request.containerId);
      return { ...planned, lower: { kind: "image", key: lease?.image.key, path: lease?.image.path } };
    },
  });
}

describe("a warm VM", () => {
  it("has the image ahead that was used last, mounted, and a lease on it", async () => {
    const { memory, id, vm, images, end } = await warm();
    expect(images()).toEqual([`slot0 /memory/images/${KEY}/image.erofs`]);
    expect([...vm.guest.preparedImages]).toEqual(["slot0"]);
    expect(memory.images.leases).toEqual([`${KEY} of ${id}`]);
    expect(await end()).toEqual([]);
  });

  it("has none ahead while no container has run: rehearsals do not count", async () => {
    const memory = new MemoryHost({ guest: () => rehearsable });
    const { pool } = memory.actors({ max: 2 });
    pool.start();
    await vi.waitFor(() => expect(pool.size).toBe(2), WITHIN);
    expect(memory.images.leases).toEqual([]);
    await pool.close();
    expect(memory.remains()).toEqual([]);
  });

  it("gives it to a container without attaching anything, and keeps it after the container", async () => {
    const { memory, id, vm, images, adopt, create, remove, end } = await warm();
    const before = images();
    await adopt();
    vm.faults.attachImage = blazarError("QmpFailed", "attach an image", "nobody may ask");
    expect(await create("c1")).toMatchObject({ kind: "image", imageSerials: ["slot0"] });
    await remove("c1");
    expect(images()).toEqual(before);
    // the next VM of the pool may be at its rehearsal
    expect(memory.images.leases).toContain(`${KEY} of ${id}`);
    expect(memory.images.leases).not.toContain(`${KEY} of c1`);
    expect(
      memory.journals
        .get("pod")
        ?.outstanding()
        .map(({ resource }) => resource),
    ).toContainEqual({
      kind: "image",
      key: KEY,
      holder: id,
    });
    expect(await end()).toEqual([]);
  });

  it("has the other slot for a container of another image", async () => {
    const { memory, images, adopt, create, remove, end } = await warm();
    useOtherLayers(memory);
    await adopt();
    expect(await create("c1")).toMatchObject({ kind: "image", imageSerials: ["slot1"] });
    expect(images()).toHaveLength(2);
    await remove("c1");
    expect(images()).toHaveLength(1);
    expect(await end()).toEqual([]);
  });

  it("is warm without it if the image is gone", async () => {
    // not removed from the store: the rehearsals would make it again
    const goes = ({ ports }: MemoryHost) => Object.assign(ports.images, { hold: async () => undefined });
    const { memory, images, told, end } = await warm({}, goes);
    expect([...images(), ...memory.images.leases, ...told()]).toEqual([]);
    expect(await end()).toEqual([]);
  });

  it("is warm without it if it cannot be attached, told once, and holds no lease", async () => {
    const refused = blazarError("QmpFailed", "attach an image", "not today");
    const { memory, images, told, adopt, end } = await warm({ vm: { attachImage: refused } });
    expect([...images(), ...memory.images.leases]).toEqual([]);
    expect(told()).toHaveLength(1);
    await adopt();
    expect(await end()).toEqual([]);
  });

  it("is warm if its guest cannot mount it, told once", async () => {
    const { told, adopt, create, end } = await warm({
      guest: { fails: { "image.prepare": blazarError("MountFailed", "mount an image", "no") } },
    });
    expect(told()).toHaveLength(1);
    await adopt();
    expect(await create("c1")).toMatchObject({ kind: "image", imageSerials: ["slot0"] });
    expect(await end()).toEqual([]);
  });

  it("that dies gives it back", async () => {
    const { memory, vm, end } = await warm();
    vm.die(-1, 9);
    await vi.waitFor(() => expect(memory.images.leases.filter((each) => each.includes(vm.id))).toEqual([]));
    expect(await end()).toEqual([]);
  });

  it.each(["the VM attaches it", "the guest mounts it"])("that dies while %s gives it back", async (when) => {
    const attaching = when.includes("attaches");
    const hang = ({ images, driver }: MemoryHost) => {
      // not before: the rehearsals attach an image as well
      images.onHold = () => {
        for (const id of driver.running) driver.vm(id).faults.attachImage = "hangs";
      };
    };
    const faults = { guest: { hangs: new Set(["image.prepare"] as const) } };
    const { memory, pool, made, end } = await pooled(faults, attaching ? hang : undefined);
    const vm = await made();
    await vi.waitFor(() => expect(memory.images.leases).toEqual([`${KEY} of ${vm.id}`]), WITHIN);
    const asked = () => vm.guest.requests.some(({ op }) => op === "image.prepare");
    if (!attaching) await vi.waitFor(() => expect(asked()).toBe(true), WITHIN);
    expect(pool.size).toBe(0);
    vm.die(-1, 9);
    await vi.waitFor(() => expect(memory.driver.running).not.toContain(vm.id));
    memory.images.onHold = undefined;
    expect(await end()).toEqual([]);
    expect(asked()).toBe(!attaching);
  });
});

/** Volumes of a pod's containers, with a fake guest and a host in memory: made once, followed, written back, taken away. */
import { describe, expect, it, vi } from "vitest";
import { blazarError } from "../../../../../src/contracts/errors.ts";
import type { ContainerCreate } from "../../../../../src/protocol/guest/messages.ts";
import type { VolumeWrite } from "../../../../../src/protocol/guest/volumes.ts";
import { mount } from "../../../../support/cri-spec.ts";
import type { GuestFaults } from "../../../../support/fake-guest/guest.ts";
import { MemoryHost } from "../../../../support/memory-host/host.ts";
import { containerRequest, podSpec } from "../../../../support/memory-host/pods.ts";
import { volumeEntry } from "../../../../support/memory-host/volumes.ts";

const POD = "/kubelet/pods/8a";
const CONFIG = `${POD}/volumes/kubernetes.io~configmap/config`;
const LOG = `${POD}/containers/main/1a2b3c4d`;
const CACHE = `${POD}/volumes/kubernetes.io~empty-dir/cache`;
const SHARED = "/srv/data";
const MEMORY = { filesystem: "tmpfs", filesystemBytes: 4096, mounted: true } as const;

const configured = mount("/config", "bind", CONFIG, ["rbind", "rprivate", "ro"]);
const logged = mount("/dev/termination-log", "bind", LOG, ["rbind", "rprivate", "rw"]);
const cached = mount("/cache", "bind", CACHE, ["rbind", "rprivate", "rw"]);
const shared = mount("/data", "bind", SHARED, ["rbind", "rprivate", "rw"]);

async function pod(guestFaults: GuestFaults = {}) {
  const memory = new MemoryHost({ guest: () => ({ faults: guestFaults }) });
  const { volumes } = memory;
  volumes.putAtomic(CONFIG, "one", { a: "1" });
  volumes.put(LOG, [volumeEntry("", "file", "")], { type: "file" });
  volumes.put(CACHE, [], MEMORY);
  volumes.put(SHARED);
  const { sandboxes, tasks } = memory.actors();
  await sandboxes.create(podSpec("pod"));
  await sandboxes.start("pod");
  const { guest } = memory.driver.vm("pod");
  const create = (id: string, ...binds: ReturnType<typeof mount>[]) => {
    const request = containerRequest("pod", id);
    const spec = { ...request.spec, mounts: [...request.spec.mounts, ...binds] };
    return tasks.create({ ...request, spec });
  };
  const remove = async (id: string) => {
    await tasks.kill(id, "", 9, true);
    await tasks.delete(id, "");
  };
  const asked = () =>
    guest.requests.flatMap(({ op, params }) =>
      op === "container.create" ? [params as ContainerCreate] : [],
    );
  const end = async () => {
    await sandboxes.shutdown("pod");
    return memory.remains();
  };
  const told = (text: string) => memory.logger.lines.filter(({ message }) => message.includes(text));
  return { memory, volumes, sandboxes, tasks, guest, create, remove, asked, end, told };
}

/** The mount of a container at a place, as its guest was asked for it. */
function mountAt(create: ContainerCreate | undefined, destination: string) {
  return create?.mounts.find((each) => each.destination === destination);
}

describe("a copied volume", () => {
  it("is written before the container that has it, once for two of them, and removed after the last", async () => {
    const { guest, create, remove, asked, end } = await pod();
    await Promise.all([create("c1", configured), create("c2", configured)]);
    const writes = guest.requests.filter(({ op }) => op === "volume.write");
    expect(writes).toHaveLength(1);
    expect(asked().map((each) => mountAt(each, "/config"))).toEqual([
      { type: "volume", source: "v1", destination: "/config", options: ["ro"] },
      { type: "volume", source: "v1", destination: "/config", options: ["ro"] },
    ]);
    expect(guest.volumes.read("v1", "a")).toBe("1");
    await remove("c1");
    expect([...guest.volumes.all.keys()]).toEqual(["v1"]);
    await remove("c2");
    expect([...guest.volumes.all.keys()]).toEqual([]);
    expect(await end()).toEqual([]);
  });

  it("follows the host's for as long as a container has it", async () => {
    const { volumes, guest, create, remove, end } = await pod();
    await create("c1", configured);
    volumes.putAtomic(CONFIG, "two", { a: "2", b: "2" });
    await vi.waitFor(() => expect(guest.volumes.read("v1", "b")).toBe("2"));
    expect(guest.volumes.read("v1", "a")).toBe("2");
    await vi.waitFor(() => expect([...(guest.volumes.all.get("v1")?.keys() ?? [])]).not.toContain("..one"));
    await remove("c1");
    volumes.putAtomic(CONFIG, "three", { a: "3" });
    expect([...volumes.watches]).toEqual([]);
    expect(await end()).toEqual([]);
  });

  it("has what came between the look and the watch", async () => {
    const { volumes, guest, create, end } = await pod();
    const plan = volumes.plan.bind(volumes);
    volumes.plan = async (requests) => {
      const plans = await plan(requests);
      volumes.putAtomic(CONFIG, "two", { a: "2" });
      return plans;
    };
    await create("c1", configured);
    await vi.waitFor(() => expect(guest.volumes.read("v1", "a")).toBe("2"));
    expect(await end()).toEqual([]);
  });

  it("that cannot be brought up to date stays as it is, told once, and tries again at the next change", async () => {
    const { volumes, guest, create, told, end } = await pod();
    await create("c1", configured);
    volumes.faults.add("read");
    volumes.putAtomic(CONFIG, "two", { a: "2" });
    await vi.waitFor(() => expect(told("does not follow")).toHaveLength(1));
    expect(guest.volumes.read("v1", "a")).toBe("1");
    volumes.putAtomic(CONFIG, "three", { a: "3" });
    await vi.waitFor(() => expect(guest.volumes.read("v1", "a")).toBe("3"));
    expect(told("does not follow")).toHaveLength(1);
    expect(await end()).toEqual([]);
  });

  it.each([
    ["the mount point below it", []],
    ["a directory of the same name", [volumeEntry("a", "file", "2")]],
  ])("stays as it is when the host unmounts or removes it, and shows %s", async (_what, entries) => {
    const { volumes, guest, create, told, end } = await pod();
    await create("c1", configured);
    volumes.put(CONFIG, [volumeEntry("", "directory", "", 2), ...entries]);
    await vi.waitFor(() => expect(told("does not follow")).toHaveLength(1));
    expect(guest.volumes.read("v1", "a")).toBe("1");
    expect(await end()).toEqual([]);
  });

  it("is in no journal and no log line", async () => {
    const { memory, volumes, create, end } = await pod();
    const secret = "s3cret-of-the-test";
    volumes.putAtomic(CONFIG, "two", { token: secret });
    await create("c1", configured, shared);
    const written = JSON.stringify([...memory.journals.values()].map((journal) => journal.outstanding()));
    const text = written + JSON.stringify(memory.logger.lines);
    for (const each of [secret, Buffer.from(secret).toString("base64")]) expect(text).not.toContain(each);
    expect(await end()).toEqual([]);
  });
});

describe("a termination log", () => {
  it("is on the host before the container's end is told", async () => {
    const { memory, volumes, guest, tasks, create, end } = await pod();
    await create("c1", logged);
    await tasks.start("c1", "");
    guest.left.set("v1", "last words");
    const exits: string[] = [];
    const { events } = memory.ports;
    vi.spyOn(events, "publish").mockImplementation((event) => {
      if (event.type === "exit") exits.push(volumes.written.get(LOG) ?? "nothing yet");
    });
    await tasks.kill("c1", "", 9, false);
    await tasks.wait("c1", "");
    expect(volumes.written.get(LOG)).toBe("last words");
    await vi.waitFor(() => expect(exits).toEqual(["last words"]));
    await tasks.delete("c1", "");
    expect(await end()).toEqual([]);
  });

  it("that cannot be written holds nothing up, and is told", async () => {
    const { volumes, guest, tasks, create, told, end } = await pod();
    await create("c1", logged);
    await tasks.start("c1", "");
    guest.left.set("v1", "last words");
    volumes.faults.add("writeBack");
    await tasks.kill("c1", "", 9, false);
    await tasks.wait("c1", "");
    expect(told("could not be written back")).toHaveLength(1);
    await tasks.delete("c1", "");
    expect(await end()).toEqual([]);
  });

  it("is written once for each container that has had it, however often a guest hands it back", async () => {
    const { volumes, guest, tasks, create, end } = await pod();
    await create("c1", logged);
    await tasks.start("c1", "");
    const write = vi.spyOn(volumes, "writeBack");
    const returned = Array.from({ length: 64 }, () => ({ name: "v1", content: "eA==" }));
    for (let number = 0; number < 100; number++)
      guest.emit("process.exited", { id: "c1", execId: "other", status: 0, oomKilled: false, returned });
    await tasks.kill("c1", "", 9, false);
    await tasks.wait("c1", "");
    expect(write).toHaveBeenCalledTimes(1);
    await tasks.delete("c1", "");
    expect(await end()).toEqual([]);
  });

  it("is all that a guest may write back", async () => {
    const { volumes, guest, create, end } = await pod();
    await create("c1", configured, shared, logged);
    const returned = ["v1", "v2", "v9", "../x"].map((name) => ({ name, content: "eA==" }));
    guest.emit("process.exited", { id: "c1", execId: "", status: 0, oomKilled: false, returned });
    await vi.waitFor(() => expect(guest.violations).toEqual([]));
    expect([...volumes.written]).toEqual([]);
    expect(await end()).toEqual([]);
  });
});

describe("a volume in memory", () => {
  it("outlives its containers, and its parts are in it", async () => {
    const { volumes, guest, create, remove, asked, end } = await pod();
    volumes.put(`${POD}/volume-subpaths/cache/main/0`, [], { ...MEMORY, origin: `${CACHE}/a/b` });
    await create("c1", cached);
    await remove("c1");
    await create("c2", mount("/part", "bind", `${POD}/volume-subpaths/cache/main/0`, ["rbind", "rw"]));
    expect(mountAt(asked()[1], "/part")).toMatchObject({ type: "volume", source: "v1/a/b" });
    expect(guest.volumes.memories).toEqual(new Map([["v1", 4096]]));
    expect([...(guest.volumes.all.get("v1")?.keys() ?? [])]).toEqual(["", "a", "a/b"]);
    expect(await end()).toEqual([]);
  });
});

describe("a shared volume", () => {
  it("is bound once for all containers, served, and taken away after the last of them", async () => {
    const { memory, volumes, create, remove, asked, end } = await pod();
    await Promise.all([create("c1", shared), create("c2", shared)]);
    const [[target, bound] = ["", undefined]] = [...volumes.mounts];
    expect(volumes.mounts.size).toBe(1);
    expect(bound).toMatchObject({ source: SHARED, readonly: false, directory: true, slave: false });
    expect(asked().map((each) => mountAt(each, "/data")?.type)).toEqual(["shared", "shared"]);
    const journaled = memory.journals
      .get("pod")
      ?.outstanding()
      .map(({ resource }) => resource);
    expect(journaled).toContainEqual({ kind: "volume", target });
    await remove("c1");
    expect(volumes.mounts.size).toBe(1);
    await remove("c2");
    expect(volumes.mounts.size).toBe(0);
    expect(await end()).toEqual([]);
  });

  it("that cannot be bound fails its container, and leaves nothing of the others", async () => {
    const { volumes, guest, create, end } = await pod();
    volumes.faults.add("mount");
    await expect(create("c1", configured, shared)).rejects.toMatchObject({ code: "StorageFailed" });
    expect([...volumes.mounts, ...volumes.watches]).toEqual([]);
    await create("c2", configured, shared);
    expect(guest.containers.has("c2")).toBe(true);
    expect(await end()).toEqual([]);
  });

  it("that cannot be taken away fails Delete, which may be tried again", async () => {
    const { volumes, tasks, create, end } = await pod();
    await create("c1", shared);
    volumes.faults.add("unmount");
    await tasks.kill("c1", "", 9, true);
    await expect(tasks.delete("c1", "")).rejects.toMatchObject({ code: "StorageFailed" });
    await tasks.delete("c1", "");
    expect(await end()).toEqual([]);
  });
});

describe("volumes in a user namespace", () => {
  const ids = [{ containerID: 0, hostID: 200_000, size: 1000 }];
  const maps = { uidMappings: ids, gidMappings: ids };
  const mapped = <Each extends object>(each: Each): Each => ({ ...each, ...maps });

  /** The pod has a way to make containers in the user namespace. */
  async function mappedPod() {
    const made = await pod();
    const { tasks } = made;
    const create = (id: string, ...binds: ReturnType<typeof mount>[]) => {
      const request = containerRequest("pod", id);
      const namespaces = [...request.spec.linux.namespaces, { type: "user", path: "/proc/1/ns/user" }];
      const linux = { ...request.spec.linux, ...maps, namespaces };
      const spec = { ...request.spec, linux, mounts: [...request.spec.mounts, ...binds] };
      return tasks.create({ ...request, spec });
    };
    return { ...made, create };
  }

  it("have their owners as the guest sees them, also in what follows", async () => {
    const { volumes, guest, create, end } = await mappedPod();
    const owners = () =>
      guest.requests.flatMap(({ op, params }) =>
        op === "volume.write"
          ? (params as VolumeWrite).volumes.flatMap(({ parts }) =>
              parts.map(({ uid, gid }) => `${uid}:${gid}`),
            )
          : [],
      );
    await create("c1", mapped(configured), mapped(logged), mapped(cached));
    expect(new Set(owners())).toEqual(new Set(["200000:200000"]));
    const before = owners().length;
    volumes.putAtomic(CONFIG, "two", { a: "2" });
    await vi.waitFor(() => expect(owners().length).toBeGreaterThan(before));
    expect(new Set(owners())).toEqual(new Set(["200000:200000"]));
    await create("c2", configured);
    expect(new Set(owners())).toEqual(new Set(["200000:200000", "0:0"]));
    expect(await end()).toEqual([]);
  });

  it("that are shared have one file server, which has the maps; others are refused by name", async () => {
    const { memory, volumes, create, end } = await mappedPod();
    await create("c1", mapped(shared));
    const [, told = ""] = memory.keeper.processes.get("pod-volumes")?.spec.argv ?? [];
    const mapping = { containerId: 0, hostId: 200_000, size: 1000 };
    expect(JSON.parse(told)).toEqual({ uids: [mapping], gids: [mapping] });
    await expect(create("c2", shared)).rejects.toMatchObject({
      code: "UnsupportedSpec",
      details: { subject: SHARED },
    });
    expect(volumes.mounts.size).toBe(1);
    expect(await end()).toEqual([]);
  });
});

describe("a container", () => {
  it("is refused for a volume that a VM cannot have, and nothing is made", async () => {
    const { volumes, guest, create, end } = await pod();
    volumes.put("/run/x.sock", [], { type: "socket" });
    const refused = create("c1", configured, mount("/s", "bind", "/run/x.sock", ["rbind"]));
    await expect(refused).rejects.toMatchObject({ code: "UnsupportedSpec" });
    expect(guest.requests.filter(({ op }) => op.startsWith("volume") || op === "container.create")).toEqual(
      [],
    );
    expect(await end()).toEqual([]);
  });

  it("fails with the reason of a volume that cannot be written, and its volumes are gone", async () => {
    const refused = blazarError("ResourceExhausted", "write to a volume", "no space left");
    const { volumes, guest, create, end } = await pod({ fails: { "volume.write": refused } });
    await expect(create("c1", configured)).rejects.toMatchObject({ code: "ResourceExhausted" });
    expect([...volumes.watches, ...guest.volumes.all]).toEqual([]);
    expect(await end()).toEqual([]);
  });

  it("has a bound device as a node of its own, and a VOLUME of its image on its own disk", async () => {
    const { volumes, create, asked, end } = await pod();
    const device = { type: "character", major: 10, minor: 229, mode: 0o660, uid: 0, gid: 7 } as const;
    volumes.put("/dev/fuse", [], device);
    const own = `/containers/${"a".repeat(64)}/volumes/${"b".repeat(64)}`;
    volumes.put(own, [volumeEntry("")]);
    await create(
      "c1",
      mount("/fuse", "bind", "/dev/fuse", ["rbind"]),
      mount("/var/data", "bind", own, ["rbind", "rw"]),
    );
    const [request] = asked();
    expect(request?.devices).toEqual([{ path: "/fuse", ...device, type: "c" }]);
    expect(mountAt(request, "/fuse")).toBeUndefined();
    expect(mountAt(request, "/var/data")).toMatchObject({ type: "own", source: "own-1" });
    expect(await end()).toEqual([]);
  });
});

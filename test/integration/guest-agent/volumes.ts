/** Volumes in the guest's memory and on a container's disk: written, mounted, swapped, given back, removed. */
import { readFile } from "node:fs/promises";
import { beforeAll, describe, expect, it } from "vitest";
import { directoryPart, partsOf, writesOf } from "../../../src/actors/vm/volumes/requests.ts";
import type { VolumeEntry } from "../../../src/contracts/volumes.ts";
import type { GuestMount } from "../../../src/protocol/guest/messages.ts";
import { type AgentBench, MOUNTS, processOf, specOf, WAYS } from "../../support/bench/agent.ts";
import { buildWatch } from "../../support/inotify/build.ts";
import { volumeEntry } from "../../support/memory-host/volumes.ts";

/** A volume as kubelet makes it. */
function atomic(state: string, files: Readonly<Record<string, string | Buffer>>): VolumeEntry[] {
  const file = (name: string, content: string | Buffer) => ({
    ...volumeEntry(`..${state}/${name}`, "file"),
    content: Buffer.from(content).toString("base64"),
    mode: 0o750,
    gid: 2000,
    mtimeMs: 1_700_000_000_000,
  });
  return [
    { ...volumeEntry(""), mode: 0o2775, gid: 2000 },
    volumeEntry(`..${state}`),
    ...Object.entries(files).map(([name, content]) => file(name, content)),
    volumeEntry("..data", "link", `..${state}`),
    ...Object.keys(files).map((name) => volumeEntry(name, "link", `..data/${name}`)),
  ];
}

const at = (
  destination: string,
  source: string,
  type = "volume",
  options: string[] = ["ro"],
): GuestMount => ({
  type,
  source,
  destination,
  options,
});

export function describeVolumes(bench: AgentBench): void {
  const write = async (name: string, entries: readonly VolumeEntry[]) => {
    const writes = writesOf([{ name, parts: entries.flatMap(partsOf) }]);
    await Promise.all(writes.map((each) => bench.guest.request("volume.write", each)));
  };
  const swap = (name: string, state: string, before: string) =>
    bench.guest.request("volume.swap", {
      name,
      renames: [{ from: "..data_tmp", to: "..data" }],
      removed: [`..${before}`, `..${state}-missing`],
    });
  const remove = (...names: string[]) => bench.guest.request("volume.remove", { names });

  describe.each(WAYS)("the guest agent's volumes, %s,", (_way, way) => {
    beforeAll(() => {
      bench.prepares = way;
    });

    it("keep modes, owners and times, and are read-only where asked", async () => {
      await write("v1", atomic("one", { token: "s3cret\n", "run.sh": "#!/bin/sh\necho run\n" }));
      const script =
        "cd /s; cat token; ./run.sh; stat -c '%a %u:%g' .; stat -L -c '%a %u:%g %Y' token; readlink token; touch x; ls -A | wc -l";
      const { stdout, stderr } = await bench.run(script, { mounts: [...MOUNTS, at("/s", "v1")] });
      expect(stdout).toBe("s3cret\nrun\n2775 0:2000\n750 0:2000 1700000000\n..data/token\n4\n");
      expect(stderr).toContain("Read-only file system");
      await remove("v1", "never-there");
    });

    it("are mounted at a file, at a place that is missing, in one another and in a prepared /dev", async () => {
      await write("v1", [volumeEntry("", "file", "log")]);
      await write("v2", atomic("one", { file: "below\n" }));
      const bound = [
        at("/dev/termination-log", "v1", "volume", ["rw"]),
        at("/a/b", "v2"),
        at("/etc/hosts", "v1"),
        at("/var/run/x/y", "v2/..one"),
      ];
      const script =
        "echo more >> /dev/termination-log; cat /etc/hosts /a/b/file /var/run/x/y/file; ls /dev | wc -l";
      const { stdout, status } = await bench.run(script, { mounts: [...MOUNTS, ...bound] });
      expect(stdout).toMatch(/^logmore\nbelow\nbelow\n\d+\n$/);
      expect(status).toBe(0);
      await remove("v1", "v2");
    });

    it("in memory have their size, and are the same for all containers, parts included", async () => {
      const root = { mode: 0o777, uid: 0, gid: 0 };
      const parts = [directoryPart("", root), directoryPart("part", { ...root, gid: 7 })];
      await bench.guest.request("volume.write", { volumes: [{ name: "m1", bytes: 1 << 20, parts }] });
      const more = { mounts: [...MOUNTS, at("/m", "m1", "volume", ["rw"])] };
      await bench.run("echo kept > /m/part/note; head -c 2000000 /dev/zero > /m/big; true", more);
      // a part is made once, and stays as its containers have made it
      await bench.guest.request("volume.write", { volumes: [{ name: "m1", bytes: 1 << 20, parts: [] }] });
      const { stdout } = await bench.run("cat /p/note; stat -c '%a %u:%g' /p; df -k /p | tail -1", {
        mounts: [...MOUNTS, at("/p", "m1/part", "volume", ["rw"])],
      });
      expect(stdout).toMatch(/^kept\n777 0:7\n\S+ +1024 +1024 /);
      await remove("m1");
      await expect(bench.run("true", more)).rejects.toMatchObject({ code: "MountFailed" });
    });

    it("in memory keep what a container has made where the host asks for a directory", async () => {
      const parts = (...paths: string[]) =>
        paths.map((name) => directoryPart(name, { mode: 0o755, uid: 0, gid: 0 }));
      const ask = (paths: string[]) =>
        bench.guest.request("volume.write", {
          volumes: [{ name: "m2", bytes: 1 << 20, parts: parts(...paths) }],
        });
      await ask([""]);
      const script = "cd /m; mkdir -m 700 theirs; chown 7:8 theirs; echo file > file; ln -s /etc link";
      await bench.run(script, { mounts: [...MOUNTS, at("/m", "m2", "volume", ["rw"])] });
      await ask(["theirs", "file", "link", "new"]);
      const mounts = [
        ...MOUNTS,
        ...["theirs", "file", "new"].map((name) => at(`/${name}`, `m2/${name}`, "volume", ["rw"])),
      ];
      const { stdout } = await bench.run("stat -c '%n %F %a %u:%g' /theirs /new; cat /file", { mounts });
      expect(stdout).toBe("/theirs directory 700 7:8\n/new directory 755 0:0\nfile\n");
      const outside = bench.run("true", { mounts: [...MOUNTS, at("/x", "m2/link")] });
      await expect(outside).rejects.toMatchObject({ code: "MountFailed" });
      await remove("m2");
    });

    it("tell the host what a container has left, with its end", async () => {
      await write("v1", [volumeEntry("", "file", "")]);
      const id = bench.newId();
      const mounts = [...MOUNTS, at("/log", "v1", "volume", ["rw"])];
      const process = processOf(["sh", "-c", "echo last words > /log; exit 3"]);
      await bench.create(specOf(id, process, { mounts, returned: ["v1"] }));
      await bench.guest.request("process.start", { id, execId: "" });
      const { status, returned } = await bench.guest.exit(id);
      expect(status).toBe(3);
      expect(returned.map(({ name, content }) => [name, Buffer.from(content, "base64").toString()])).toEqual([
        ["v1", "last words\n"],
      ]);
      await bench.remove(id);
      await remove("v1");
    });

    it("on a container's disk begin as the image's directory, and may be written to in a read-only root", async () => {
      const rootfs = { ...specOf("x", processOf(["true"])).rootfs, readonly: true };
      const mounts = [...MOUNTS, at("/etc", "own-0", "own", ["rw"]), at("/new/data", "own-1", "own", ["rw"])];
      const script =
        "cat /etc/passwd | head -1; echo x > /etc/x && cat /etc/x; echo y > /new/data/y && ls /new/data; touch /z";
      const { stdout, stderr } = await bench.run(script, { rootfs, mounts });
      expect(stdout).toMatch(/^root:.*\nx\ny\n$/);
      expect(stderr).toContain("Read-only file system");
    });
  });

  it("the guest agent's volumes change under a container at once, and inotify tells of it", async () => {
    const watch = await readFile(await buildWatch(bench.directory));
    await write("v1", atomic("one", { watch, key: "1" }));
    const mounts = [...MOUNTS, at("/c", "v1")];
    const { id, output } = await bench.stay(["/c/watch", "/c", "..data"], { mounts });
    await output.until((text) => text.includes("watching"));
    const next = atomic("two", { watch, key: "2" }).filter(({ path }) => path.startsWith("..two"));
    await write("v1", [...next, volumeEntry("..data_tmp", "link", "..two")]);
    expect((await bench.exec(id, "cat /c/key")).stdout).toBe("1");
    await swap("v1", "two", "one");
    await output.ended;
    expect(output.text()).toBe("watching\ncreated ..two\ncreated ..data_tmp\nmoved ..data\n");
    await bench.remove(id);
    const { stdout } = await bench.run("cat /c/key; ls -A /c", { mounts });
    expect(stdout).toBe("2..data\n..two\nkey\nwatch\n");
    await remove("v1");
  });

  it("the guest agent's volumes lead nowhere else, whatever the host asks for", async () => {
    await write("v1", [
      volumeEntry(""),
      volumeEntry("etc", "link", "/etc"),
      volumeEntry("up", "link", "../.."),
    ]);
    for (const path of ["etc/x", "up/x", "../x", "/x", "a//b", "."]) {
      const entry = volumeEntry(path, "file", "x");
      await expect(write("v1", [entry])).rejects.toBeInstanceOf(Error);
      const renames = [{ from: "etc", to: path }];
      await expect(
        bench.guest.request("volume.swap", {
          name: "v1",
          renames: path.includes("x") ? [] : renames,
          removed: [path],
        }),
      ).rejects.toBeInstanceOf(Error);
    }
    for (const name of ["", "..", "a/b", "V1"]) {
      await expect(write(name, [volumeEntry("")])).rejects.toMatchObject({ code: "InvalidArgument" });
      await expect(remove(name)).rejects.toMatchObject({ code: "InvalidArgument" });
    }
    const outside = bench.run("true", { mounts: [...MOUNTS, at("/x", "v1/etc/passwd")] });
    await expect(outside).rejects.toMatchObject({ code: "MountFailed" });
    await remove("v1");
  });
}

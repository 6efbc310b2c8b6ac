/**
 * VMs that are forks of another one's process, with real guests: that they go on where it was, and share nothing with
 * it or with each other that one could harm another by. One template and one original for all.
 */
import { existsSync } from "node:fs";
import { mkdir, readdir, readFile, readlink, rm } from "node:fs/promises";
import { dirname, join } from "node:path";
import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest";
import type { Vm } from "../../../src/contracts/vm.ts";
import { hashMemory } from "../../../src/vmm/common/templates/files.ts";
import { type Guest, PING, returnsSpace, TemplateBench } from "../../support/bench/template.ts";
import { expectIsolated, markShare } from "../../support/isolation.ts";
import { expectJailed, FILTERS_OF_FORK } from "../../support/jail/expect-jailed.ts";

const FORKS = 3;
const PREPARED = "prepared";
const root = process.getuid?.() === 0;

let bench: TemplateBench;
let template = "";
let original: Vm;
const forks: Guest[] = [];

beforeAll(async () => {
  bench = await TemplateBench.start();
  template = await bench.directory();
  await bench.build(template);
  original = await bench.original(template);
});

afterAll(() => bench.dispose());
afterEach(async () => {
  await Promise.all(forks.splice(0).map(({ vm }) => vm.kill()));
});

async function fork(from = original): Promise<Guest> {
  const guest = await bench.fork(from);
  await markShare(guest);
  forks.push(guest);
  return guest;
}

function several(count: number): Promise<Guest[]> {
  return Promise.all(Array.from({ length: count }, () => fork()));
}

/** Field → value, of /proc/PID/task/TID/status, of every thread. */
async function threads(pid: number): Promise<Map<string, string>[]> {
  const ids = await readdir(`/proc/${pid}/task`);
  const texts = await Promise.all(ids.map((id) => readFile(`/proc/${pid}/task/${id}/status`, "utf8")));
  return texts.map(
    (text) => new Map(text.split("\n").map((line) => line.split(":\t", 2) as [string, string])),
  );
}

/** What a descriptor is open on. Of a tap, whose file is that of all taps, the name is in proc_pid_fdinfo(5). */
async function target(pid: number, fd: string): Promise<string> {
  const file = await readlink(`/proc/${pid}/fd/${fd}`);
  if (file !== "/dev/net/tun") return file;
  return `/tap/${/^iff:\t(.*)$/m.exec(await readFile(`/proc/${pid}/fdinfo/${fd}`, "utf8"))?.[1]}`;
}

/** The files that its descriptors are open on, without the harmless ones. "/" is /dev/urandom, whose mount is gone. */
async function files(pid: number): Promise<string[]> {
  const all = await readdir(`/proc/${pid}/fd`);
  const targets = await Promise.all(all.map((fd) => target(pid, fd)));
  return targets.filter(
    (target) => /^\/./.test(target) && !/^\/(dev\/(null|urandom)|memfd:)|\.so$/.test(target),
  );
}

describe("a fork of a VM", () => {
  it("has its own name, share, time and memory, and random numbers that no other one has", async () => {
    const guests = await several(FORKS);
    await expectIsolated(guests);
    await bench.templates.verify(template, true);
  });

  it("writes to a disk of its own, that is mounted already", async () => {
    const guests = await several(2);
    await Promise.all(guests.map((guest, index) => guest.setUp(`guest-${index}`)));
    const write = (index: number): string => `ls /tmp; mkdir -p /tmp; echo ${index} > /tmp/own; sync`;
    const wrote = await Promise.all(guests.map((guest, index) => guest.run(write(index), PREPARED)));
    expect(wrote.map((text) => text.includes("own"))).toEqual([false, false]);
    const read = guests.map((guest) => guest.run("cat /tmp/own", PREPARED));
    expect(await Promise.all(read)).toEqual(["0\n", "1\n"]);
  });

  it("gives what is deleted on its disk back to its own file", async () => {
    expect(await returnsSpace(await fork())).toBe(true);
  });

  it("takes disks, pauses and goes on like any VM", async () => {
    const { vm, link } = await fork();
    await vm.attachDisk({ id: "more", path: await bench.qemu.diskImage(), readonly: false });
    await vm.detachDisk("more");
    await vm.pause();
    await vm.resume();
    await link.request("ping", {}, PING);
    expect(vm.timeline.map(({ step }) => step)).toEqual(["spawned", "answering", "running"]);
  });

  it("shows in its command line what its name begins with", async () => {
    const { vm } = await fork();
    const words = (await readFile(`/proc/${vm.identity.pid}/cmdline`, "utf8")).split("\0");
    const name = words[words.indexOf("-name") + 1]?.trim() ?? "";
    expect(name.length).toBeGreaterThan(5);
    expect(vm.id.startsWith(name)).toBe(true);
    expect(await readFile(`/proc/${original.identity.pid}/cmdline`, "utf8")).toContain(original.id);
  });

  it("has no file of another VM's open", async () => {
    const guests = await several(2);
    const [theirs, ...own] = await Promise.all(
      [original, ...guests.map(({ vm }) => vm)].map(({ identity }) => files(identity.pid)),
    );
    for (const [index, open] of own.entries()) {
      const taps = guests[index]?.vm.nics.map(({ tap }) => `/tap/${tap}`);
      expect(open.filter((file) => file.startsWith("/tap/"))).toEqual(taps);
      const others = [...(theirs ?? []), ...(own[1 - index] ?? [])];
      expect(open.length).toBeGreaterThan(0);
      expect(open.filter((file) => others.includes(file))).toEqual([]);
    }
  });

  it.runIf(root)("is confined in all of its threads as a VMM is that was started", async () => {
    const [clone, guest] = await Promise.all([bench.clone(template), fork()]);
    const of = async ({ vm }: Guest): Promise<unknown[]> =>
      (await threads(vm.identity.pid)).map((thread) =>
        ["CapPrm", "CapEff", "Seccomp", "NoNewPrivs", "Groups"].map((name) => thread.get(name)?.trim()),
      );
    const [started, forked] = await Promise.all([of(clone), of(guest)]);
    expect(new Set(forked.map(String))).toEqual(new Set(started.map(String)));
    const users = new Set((await threads(guest.vm.identity.pid)).map((thread) => thread.get("Uid")));
    const [theirs] = await threads(original.identity.pid);
    await Promise.all([expectJailed(clone.vm), expectJailed(guest.vm, FILTERS_OF_FORK)]);
    expect(users.size).toBe(1);
    expect(users).not.toContain(theirs?.get("Uid"));
    await clone.vm.kill();
  });

  it.runIf(root)("is of an original whose privileges end at its user namespace", async () => {
    const { pid } = original.identity;
    for (const name of ["user", "mnt", "ipc", "uts", "net"])
      expect(await readlink(`/proc/${pid}/ns/${name}`)).not.toBe(await readlink(`/proc/self/ns/${name}`));
    expect(await readdir(`/proc/${pid}/root`)).toEqual([]);
    const map = (await readFile(`/proc/${pid}/uid_map`, "utf8")).trim().split(/\s+/).map(Number);
    const [inside, outside, count] = map;
    expect(outside).toBe(inside);
    // No user of the host's own: root is not one that it can become.
    expect(outside).toBeGreaterThan(0);
    expect(count).toBe(1000);
    // its list; its copies load QEMU's filter, too
    for (const thread of await threads(pid)) expect(thread.get("Seccomp_filters")?.trim()).toBe("1");
  });

  it("shares the memory that it does not change, and cannot change it for others", async () => {
    const [mapped] = bench.sealed;
    const path = mapped ?? join(template, "memory");
    const before = await hashMemory(path);
    const [one, two] = await several(2);
    if (one === undefined || two === undefined) throw new Error("no forks");
    await Promise.all([one.setUp("one"), two.setUp("two")]);
    expect((await one.run("hostname")).trim()).toBe("one");
    expect((await two.run("hostname")).trim()).toBe("two");
    expect(await hashMemory(path)).toBe(before);
  });

  it("goes on when its original or another fork ends", async () => {
    const other = await bench.original(template);
    const [one, two] = [await fork(other), await fork(other)];
    await other.kill();
    await two.vm.kill();
    await one.setUp("survivor");
    expect((await one.run("hostname")).trim()).toBe("survivor");
    await expect(fork(other)).rejects.toMatchObject({ code: "VmNotFound" });
  });

  it("leaves nothing if it cannot be made, and its original makes others", async () => {
    const spec = await bench.forkSpec(original);
    await rm(spec.directory, { recursive: true });
    await expect(bench.driver.launch(spec)).rejects.toMatchObject({ code: "HostResource" });
    expect(existsSync(spec.source.disk)).toBe(false);
    await mkdir(dirname(spec.directory), { recursive: true });
    const { link } = await fork();
    await link.request("ping", {}, PING);
  });

  it.each([0, 1, 3, 6, 10])("called off after %i ms leaves nothing", async (ms) => {
    const spec = await bench.forkSpec(original);
    try {
      await (await bench.driver.launch(spec, AbortSignal.timeout(ms))).kill();
    } catch (error) {
      expect(error).toMatchObject({ code: "Cancelled" });
      expect(existsSync(spec.source.disk)).toBe(false);
    }
    const left = await bench.qemu.leftovers();
    expect(left.filter((name) => name.includes(spec.id))).toEqual([]);
  });
});

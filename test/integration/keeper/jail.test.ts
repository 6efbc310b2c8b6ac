/** What a process in a jail can still reach: tried by a program in one, as a VMM's user (docs/specification.md). */
import { execFile } from "node:child_process";
import { once } from "node:events";
import { mkdir, readFile, readlink, stat, writeFile } from "node:fs/promises";
import { createServer, type Server } from "node:net";
import path from "node:path";
import { promisify } from "node:util";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import type { Jail, ProcessSpawn } from "../../../src/contracts/keeper.ts";
import { connectUnix } from "../../../src/lib/sockets/unix-socket.ts";
import { RealKeeper } from "../../support/bench/keeper.ts";
import { shell } from "../../support/conformance/keeper-bench.ts";
import { buildProbe, runProbe } from "../../support/jail/probe.ts";

const run = promisify(execFile);
const USER = { uid: 61_234, gid: 61_234 };
const EMPTY: Jail = { mounts: [], proc: true };
const host = (source: string): Jail["mounts"][number] => ({
  source,
  target: source,
  readonly: true,
  follow: false,
  temporary: true,
});
const SHELL: Jail = { mounts: ["/usr", "/bin", "/lib", "/lib64"].map(host), proc: true };

describe.runIf(process.getuid?.() === 0)("a jail", () => {
  let bench: RealKeeper;
  beforeEach(async () => {
    bench = await RealKeeper.start();
  });
  afterEach(async () => {
    await bench.dispose();
  });

  /** A static program that waits: it needs nothing of its jail as soon as it runs. */
  async function waiting(mounts: Jail["mounts"] = []): Promise<ProcessSpawn> {
    const program = await buildProbe(bench.directory);
    const jail = { mounts: [host(program), ...mounts], proc: true };
    return { ...shell("vm", ""), argv: [program, "60000"], ...USER, jail };
  }

  it("has nothing of the host in it once it is sealed", async () => {
    const { keeper, directory } = bench;
    const program = await buildProbe(directory);
    await using listener = await abstractListener();
    expect(listener.listening).toBe(true);
    const outside = await keeper.spawn({ ...shell("outside", "sleep 60"), ...USER });
    const answers = await runProbe({
      keeper,
      program,
      directory,
      jail: { ...EMPTY, mounts: [host("/usr"), host("/etc/hostname"), host("/dev/urandom")] },
      user: USER,
      pids: [outside.pid, process.pid, bench.pid],
      extra: { taps: [{ fd: 20 }] },
    });
    expect(Object.fromEntries(answers)).toEqual(SEALED);
  });

  it("of a process that serves an uplink has the host's network, but no unix socket of the host's", async () => {
    const { keeper, directory } = bench;
    const program = await buildProbe(directory);
    await using listener = await abstractListener();
    expect(listener.listening).toBe(true);
    await keeper.makeUplink({ id: "up", uid: USER.uid, gid: USER.gid, tap: "eth0" });
    const jail = { ...EMPTY, uplink: "up" };
    const pids = [process.pid, bench.pid];
    const answers = await runProbe({ keeper, program, directory, jail, user: USER, pids });
    const differing = [...answers].filter(([what, answer]) => SEALED[what as keyof typeof SEALED] !== answer);
    const without = differing.filter(([what]) => !/tap/.test(what));
    expect(Object.fromEntries(without)).toEqual({
      "list /": expect.stringContaining("uplink"),
      "tcp loopback": "Connection refused",
      // there is no socket to connect
      "abstract socket": "Bad file descriptor",
      "new user namespace": "yes",
      netlink: "yes",
    });
  });

  it("keeps its processes to itself: they see no others, and end with the first of them", async () => {
    const { pid } = await bench.keeper.spawn({ ...shell("vm", "sleep 61 & sleep 60"), ...USER, jail: SHELL });
    for (const namespace of ["mnt", "pid", "ipc", "uts", "net"])
      expect(await readlink(`/proc/${pid}/ns/${namespace}`)).not.toBe(
        await readlink(`/proc/self/ns/${namespace}`),
      );
    const status = await readFile(`/proc/${pid}/status`, "utf8");
    expect(status).toMatch(/^NSpid:\t\d+\t1$/m);
    expect(status).toMatch(/^CapEff:\t0+$/m);
    expect(status).toMatch(/^CapBnd:\t0+$/m);
    expect(status).toMatch(/^Seccomp:\t2$/m);
    await bench.keeper.signal("vm", 9);
    expect(await bench.keeper.exited("vm")).toMatchObject({ signal: 9 });
  });

  it("is sealed as often as asked, and not once its process has ended", async () => {
    const { keeper } = bench;
    await keeper.spawn(await waiting());
    await keeper.seal("vm");
    await keeper.seal("vm");
    await keeper.signal("vm", 9);
    await keeper.exited("vm");
    await expect(keeper.seal("vm")).rejects.toMatchObject({ code: "ProcessNotRunning" });
    await expect(keeper.seal("other")).rejects.toMatchObject({ code: "ProcessNotFound" });
  });

  it("shows what is mounted later, where that is asked for", async () => {
    const { keeper, directory } = bench;
    const shared = path.join(directory, "shared");
    await mkdir(path.join(shared, "later"), { recursive: true });
    const follow = { source: shared, target: "/share", readonly: true, follow: true, temporary: false };
    const { pid } = await keeper.spawn(await waiting([follow]));
    await keeper.seal("vm");
    await run("mount", ["-t", "tmpfs", "x", path.join(shared, "later")]);
    try {
      await writeFile(path.join(shared, "later", "file"), "here");
      expect(await readFile(`/proc/${pid}/root/share/later/file`, "utf8")).toBe("here");
      await expect(writeFile(`/proc/${pid}/root/share/new`, "")).rejects.toThrow("EROFS");
    } finally {
      await run("umount", [path.join(shared, "later")]);
      await run("umount", [shared]);
    }
  });

  it("gets sockets that listen on the host, from an empty network", async () => {
    const { keeper, directory } = bench;
    const socket = path.join(directory, "vm.sock");
    await writeFile(`${socket}.other`, "no socket");
    const spec = { ...shell("vm", "sleep 60"), ...USER, jail: SHELL };
    await keeper.spawn({ ...spec, sockets: [{ fd: 7, path: socket, mode: 0o600 }] });
    (await connectUnix(socket)).destroy();
    expect((await stat(socket)).mode & 0o777).toBe(0o600);
    const inTheWay = { ...spec, id: "other", sockets: [{ fd: 7, path: `${socket}.other`, mode: 0o600 }] };
    await expect(keeper.spawn(inTheWay)).rejects.toMatchObject({ code: "HostResource" });
  });

  it("has users for its copies, whatever numbers its descriptors have", async () => {
    const files = Array.from({ length: 48 }, (_, index) => ({
      fd: index + 3,
      path: "/dev/null",
      flags: 2,
      mode: 0,
    }));
    const taps = Array.from({ length: 8 }, (_, index) => ({ fd: index + 60 }));
    const jail = { ...SHELL, forks: { firstUid: 61_000, count: 1000 } };
    const { pid } = await bench.keeper.spawn({ ...shell("vm", "sleep 60"), ...USER, jail, files, taps });
    expect((await readFile(`/proc/${pid}/uid_map`, "utf8")).trim().split(/\s+/)).toEqual([
      "61000",
      "61000",
      "1000",
    ]);
  });

  it("names what it cannot have", async () => {
    const missing = { ...SHELL, mounts: [host("/nowhere/at/all")] };
    const spawned = bench.keeper.spawn({ ...shell("vm", "true"), jail: missing });
    await expect(spawned).rejects.toThrow("/nowhere/at/all");
  });
});

it("a process that is idle gives way to all others", async () => {
  await using _ = { [Symbol.asyncDispose]: () => bench.dispose() };
  const bench = await RealKeeper.start();
  const { pid } = await bench.keeper.spawn({ ...shell("vm", "sleep 60"), idle: true });
  const stat = (await readFile(`/proc/${pid}/stat`, "utf8")).split(" ");
  // proc_pid_stat(5): field 41 is the policy, and 5 is SCHED_IDLE
  expect(stat.at(40)).toBe("5");
});

/** On the host, at the abstract name that the probe connects to. */
async function abstractListener(): Promise<Server> {
  const server = createServer((socket) => socket.destroy());
  server.listen("\0blazar-jail-test");
  await once(server, "listening");
  return server;
}

/** What the probe says in a jail that is sealed. */
const DENIED = "Operation not permitted";
const MISSING = "No such file or directory";
const SEALED = {
  capabilities: "0",
  pid: "1",
  host: "jail",
  "list /": "",
  "open /etc/shadow": MISSING,
  "open /etc/hostname": MISSING,
  "open /proc/self/status": MISSING,
  "open /proc/1/environ": MISSING,
  "open /dev/mem": MISSING,
  "open /dev/kvm": MISSING,
  "open /usr/bin/env": MISSING,
  "open /sys/kernel": MISSING,
  "create /file": "Read-only file system",
  "tcp loopback": DENIED,
  "abstract socket": "Connection refused",
  "links with an address": "-1",
  "tap offloads": "yes",
  "tap send buffer": "yes",
  "tap name": "yes",
  "another tap": DENIED,
  "persistent tap": DENIED,
  "tap queue": DENIED,
  "tap owner": DENIED,
  "tap filter": DENIED,
  "tap address": DENIED,
  "tap namespace": DENIED,
  signal: "No such process",
  ptrace: DENIED,
  pidfd: "No such process",
  "signal all": "No such process",
  mount: DENIED,
  fsopen: DENIED,
  mknod: DENIED,
  "setuid 0": DENIED,
  "setgid 0": DENIED,
  chroot: DENIED,
  "new user namespace": DENIED,
  "new mount namespace": DENIED,
  "clone into a user namespace": DENIED,
  clone3: "Function not implemented",
  "shared memory": DENIED,
  vsock: DENIED,
  netlink: DENIED,
  io_uring: DENIED,
  bpf: DENIED,
  keyctl: DENIED,
  "open by handle": DENIED,
  exec: MISSING,
};

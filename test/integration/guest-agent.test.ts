/**
 * The guest agent in a real VM, without the daemon: what each request does, and what a hostile or clumsy host, image
 * or process must not bring about. One VM for all: a boot under software emulation is what costs.
 */

import { copyFile, mkdir, mkdtemp, readFile, rm, symlink, truncate, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { artifacts } from "../../setup/artifacts.ts";
import { buildImage } from "../../src/cli/image-builder.ts";
import { writeTar } from "../../src/cli/tar-writer.ts";
import { capabilityMask } from "../../src/protocol/capabilities.ts";
import { encodeFrame, FrameType } from "../../src/protocol/frame.ts";
import type { ContainerCreate, GuestProcess, GuestStdio } from "../../src/protocol/guest-messages.ts";
import { copyEmptyImage } from "../../src/workers/disk-image.ts";
import { BareGuest, type Output } from "../support/bare-guest.ts";
import { awkwardLayer, testImage, whiteout, withLayers } from "../support/oci-image.ts";

const BUILTIN = { kind: "builtin", path: "", diskSerial: "", filesystem: "", readonly: false } as const;
const LAYERS = { ...BUILTIN, kind: "layers", path: "image" } as const;
const MOUNTS = [
  { type: "proc", source: "proc", destination: "/proc", options: ["nosuid", "noexec", "nodev"] },
  { type: "tmpfs", source: "tmpfs", destination: "/dev", options: ["nosuid", "mode=755", "size=65536k"] },
  {
    type: "devpts",
    source: "devpts",
    destination: "/dev/pts",
    options: ["nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620", "gid=5"],
  },
  { type: "tmpfs", source: "shm", destination: "/dev/shm", options: ["nosuid", "nodev", "size=65536k"] },
  { type: "mqueue", source: "mqueue", destination: "/dev/mqueue", options: ["nosuid", "noexec", "nodev"] },
  { type: "sysfs", source: "sysfs", destination: "/sys", options: ["nosuid", "noexec", "nodev", "ro"] },
  { type: "cgroup", source: "cgroup", destination: "/sys/fs/cgroup", options: ["nosuid", "noexec", "ro"] },
];
const NO_STDIO: GuestStdio = { stdin: 0, stdout: 0, stderr: 0 };

let guest: BareGuest;
let directory = "";
let containers = 0;
/** Containers' first processes are made by a child that the agent has prepared, or else by a fork. */
let prepares = false;
const WAYS: [string, boolean][] = [
  ["by a fork", false],
  ["by a prepared child", true],
];

function processOf(args: string[], more: Partial<GuestProcess> = {}): GuestProcess {
  return {
    args,
    env: ["PATH=/bin:/sbin:/usr/bin"],
    cwd: "/",
    terminal: false,
    rows: 0,
    columns: 0,
    uid: 0,
    gid: 0,
    additionalGids: [],
    umask: undefined,
    noNewPrivileges: true,
    capabilities: undefined,
    rlimits: [],
    oomScoreAdj: undefined,
    ...more,
  };
}

function specOf(id: string, process: GuestProcess, more: Partial<ContainerCreate> = {}): ContainerCreate {
  return {
    id,
    rootfs: BUILTIN,
    process,
    stdio: NO_STDIO,
    mounts: MOUNTS,
    pidNamespace: "container",
    pidTarget: "",
    maskedPaths: [],
    readonlyPaths: [],
    sysctl: {},
    cgroup: {},
    ...more,
  };
}

function newId(): string {
  containers++;
  return `c${containers}`;
}

async function create(spec: ContainerCreate): Promise<void> {
  if (prepares) await guest.request("child.prepare", {});
  await guest.request("container.create", spec);
}

/** Runs a shell script in a container to its end and deletes it. */
async function run(
  script: string | string[],
  more: Partial<ContainerCreate> = {},
  process: Partial<GuestProcess> = {},
): Promise<{ status: number; stdout: string; stderr: string; oomKilled: boolean }> {
  const id = newId();
  const { stream: stdout, output } = guest.output();
  const { stream: stderr, output: errors } = guest.output();
  const args = typeof script === "string" ? ["sh", "-c", script] : script;
  const stdio = { stdin: 0, stdout, stderr };
  await create(specOf(id, processOf(args, process), { stdio, ...more }));
  await guest.request("process.start", { id, execId: "" });
  const { status, oomKilled } = await guest.exit(id);
  await Promise.all([output.ended, errors.ended]);
  await guest.request("container.delete", { id });
  return { status, oomKilled, stdout: output.text(), stderr: errors.text() };
}

/** Starts a container that stays. */
async function start(
  args: string[],
  more: Partial<ContainerCreate> = {},
  process: Partial<GuestProcess> = {},
): Promise<{ id: string; output: Output }> {
  const id = newId();
  const { stream: stdout, output } = guest.output();
  const stdio = { stdin: 0, stdout, stderr: 0 };
  await create(specOf(id, processOf(args, process), { stdio, ...more }));
  await guest.request("process.start", { id, execId: "" });
  return { id, output };
}

async function exec(id: string, script: string): Promise<{ status: number; stdout: string }> {
  const { stream: stdout, output } = guest.output();
  const execId = `exec-${stdout}`;
  const process = processOf(["sh", "-c", script]);
  await guest.request("process.exec", { id, execId, process, stdio: { ...NO_STDIO, stdout } });
  const { status } = await guest.exit(id, execId);
  await output.ended;
  await guest.request("process.delete", { id, execId });
  return { status, stdout: output.text() };
}

const remove = (id: string): Promise<unknown> => guest.request("container.delete", { id });

/** A root in the share: busybox and what a test adds. */
async function makeRoot(name: string): Promise<string> {
  const root = path.join(guest.share, name);
  for (const each of ["bin", "etc", "proc", "tmp"]) await mkdir(path.join(root, each), { recursive: true });
  await copyFile(artifacts().busybox.binary, path.join(root, "bin/busybox"));
  for (const applet of ["sh", "cat", "ls", "sleep", "true", "echo", "mkfifo", "stat", "touch"]) {
    await symlink("busybox", path.join(root, "bin", applet));
  }
  await writeFile(
    path.join(root, "etc/passwd"),
    "root:x:0:0:root:/root:/bin/sh\nuser:x:7:8::/home/user:/bin/sh\n",
  );
  return root;
}

beforeAll(async () => {
  directory = await mkdtemp(path.join(tmpdir(), "blazar-agent-"));
  const { vmlinux, initramfs } = artifacts();
  guest = await BareGuest.launch({ directory, vmlinux, initramfs });
  await makeRoot("image");
  await guest.connect();
});

afterAll(async () => {
  await guest.kill();
  await rm(directory, { recursive: true, force: true });
});

describe("the guest agent", () => {
  it("makes no container before the sandbox is set up", async () => {
    const creation = guest.request("container.create", specOf("early", processOf(["true"])));
    await expect(creation).rejects.toMatchObject({ code: "SandboxNotReady" });
  });

  it("sets the sandbox up, again if asked while there is no container", async () => {
    const setup = {
      sandboxId: "s1",
      hostname: "first",
      hosts: "127.0.0.1\tlocalhost\n10.0.0.9\tpod-1\n",
      resolvConf: "nameserver 192.0.2.1\n",
      now: Date.now(),
      entropy: "5a".repeat(64),
      share: true,
      sharedPidNamespace: true,
      shmBytes: 1 << 20,
    };
    const { now } = await guest.request("clock.adjust", { by: 3_600_000 });
    expect((await guest.request("clock.adjust", { by: -3_600_000 })).now).toBeLessThan(now - 3_000_000);
    await guest.request("sandbox.setup", setup);
    await guest.request("sandbox.setup", { ...setup, hostname: "pod-1", now: Date.now() });
    const script = "hostname; cat /etc/hostname /etc/hosts /etc/resolv.conf; date +%s; ip addr show lo";
    const { stdout } = await run(script);
    expect(stdout).toContain("pod-1\npod-1\n127.0.0.1\tlocalhost\n10.0.0.9\tpod-1\nnameserver 192.0.2.1\n");
    expect(Math.abs(Number(/^\d{9,}$/m.exec(stdout)?.[0]) - Date.now() / 1000)).toBeLessThan(60);
    expect(stdout).toContain("inet 127.0.0.1/8");
    expect(stdout).toContain("inet6 ::1/128");
  });
});

describe.each(WAYS)("the guest agent's containers, made %s,", (_way, way) => {
  beforeAll(() => {
    prepares = way;
  });

  it("keeps stdout and stderr apart and tells the exit code", async () => {
    const result = await run("echo out; echo err >&2; exit 7");
    expect(result).toEqual({ status: 7, oomKilled: false, stdout: "out\n", stderr: "err\n" });
  });

  it("tells a signal as 128 and its number, of created containers, too", async () => {
    const { id } = await start(["sleep", "100"]);
    await guest.request("process.signal", { id, execId: "", signal: 9, all: false });
    expect(await guest.exit(id)).toMatchObject({ status: 137, oomKilled: false });
    await remove(id);
    await create(specOf("waits", processOf(["true"])));
    await guest.request("process.signal", { id: "waits", execId: "", signal: 9, all: false });
    expect(await guest.exit("waits")).toMatchObject({ status: 137 });
    await remove("waits");
  });

  it("refuses to create what cannot be executed, names it and leaves nothing", async () => {
    const attempt = (args: string[], more: Partial<ContainerCreate> = {}): Promise<unknown> =>
      create(specOf("nope", processOf(args), more));
    await expect(attempt(["no-such-program"])).rejects.toMatchObject({
      code: "CommandNotFound",
      details: { subject: "no-such-program", reason: expect.stringMatching(/no such file or directory/i) },
    });
    await expect(attempt(["/no/such/program"])).rejects.toMatchObject({ code: "CommandNotFound" });
    await expect(attempt(["/etc/passwd"])).rejects.toMatchObject({ code: "CommandNotExecutable" });
    await expect(attempt(["/etc"])).rejects.toMatchObject({ code: "CommandNotExecutable" });
    await expect(attempt([])).rejects.toMatchObject({ code: "InvalidSpec" });
    // the id, its cgroup and its mounts are free again
    await create(specOf("nope", processOf(["true"])));
    await remove("nope");
  });

  it("reports a failing execve to the start", async () => {
    await guest
      .request("container.create", specOf("garbage", processOf(["/tmp/garbage"]), { rootfs: BUILTIN }))
      .then(
        () => expect.unreachable(),
        () => undefined,
      );
    const name = `garbage-${way}`;
    const root = await makeRoot(name);
    await writeFile(path.join(root, "bin/garbage"), "\u0001\u0002 not a program", { mode: 0o755 });
    const rootfs = { ...LAYERS, path: name };
    await create(specOf("garbage", processOf(["garbage"]), { rootfs }));
    await expect(guest.request("process.start", { id: "garbage", execId: "" })).rejects.toMatchObject({
      code: "CommandNotExecutable",
    });
    expect((await guest.exit("garbage")).status).toBe(127);
    await remove("garbage");
  });

  it("executes further processes inside a running container", async () => {
    const { id } = await start(["sh", "-c", "echo here > /tmp/mark; exec sleep 100"]);
    expect(await exec(id, "cat /tmp/mark; cat /proc/1/comm; exit 3")).toEqual({
      status: 3,
      stdout: "here\nsleep\n",
    });
    const { pids } = await guest.request("container.pids", { id });
    expect(pids.length).toBe(1);
    const missing = guest.request("process.exec", {
      id,
      execId: "x",
      process: processOf(["nothing-like-it"]),
      stdio: NO_STDIO,
    });
    await expect(missing).rejects.toMatchObject({ code: "CommandNotFound" });
    await remove(id);
    await expect(exec(id, "true")).rejects.toMatchObject({ code: "ContainerNotFound" });
  });

  it("ends an exec's output with its process, whoever still holds the pipe", async () => {
    const { id } = await start(["sleep", "100"]);
    expect(await exec(id, "sleep 50 & echo done")).toEqual({ status: 0, stdout: "done\n" });
    await remove(id);
  });

  it("gives a terminal with a size that can change", async () => {
    const id = newId();
    const { stream: stdin, sender } = guest.input();
    const { stream: stdout, output } = guest.output();
    const process = processOf(["sh"], {
      terminal: true,
      rows: 30,
      columns: 100,
      env: ["PATH=/bin:/usr/bin", "PS1=> "],
    });
    await create(specOf(id, process, { stdio: { stdin, stdout, stderr: 0 } }));
    await guest.request("process.start", { id, execId: "" });
    sender.write(Buffer.from("stty size; tty; ls -l /dev/console | cut -c1\n"));
    await output.until((text) => /30 100\r\n\/dev\/pts\/0\r\nc\r\n/.test(text));
    await guest.request("process.resize", { id, execId: "", rows: 50, columns: 200 });
    sender.write(Buffer.from("stty size\n"));
    await output.until((text) => text.includes("50 200\r\n"));
    sender.write(Buffer.from("exit 5\n"));
    expect((await guest.exit(id)).status).toBe(5);
    await output.ended;
    await remove(id);
  });

  it("gives an exec a terminal, too", async () => {
    const { id } = await start(["sleep", "100"]);
    const { stream: stdout, output } = guest.output();
    const process = processOf(["sh", "-c", "stty size; tty"], { terminal: true, rows: 11, columns: 22 });
    await guest.request("process.exec", { id, execId: "t", process, stdio: { stdin: 0, stdout, stderr: 0 } });
    expect((await guest.exit(id, "t")).status).toBe(0);
    await output.ended;
    expect(output.text()).toBe("11 22\r\n/dev/pts/0\r\n");
    await remove(id);
  });

  it("passes stdin on and closes it", async () => {
    const id = newId();
    const { stream: stdin, sender } = guest.input();
    const { stream: stdout, output } = guest.output();
    await guest.request(
      "container.create",
      specOf(id, processOf(["cat"]), { stdio: { stdin, stdout, stderr: 0 } }),
    );
    await guest.request("process.start", { id, execId: "" });
    sender.write(Buffer.from("one\n"));
    await output.until((text) => text === "one\n");
    const bulk = Buffer.alloc(1 << 20, "0123456789abcde\n");
    sender.write(bulk);
    sender.finish();
    expect((await guest.exit(id)).status).toBe(0);
    await output.ended;
    expect(output.bytes()).toBe(4 + bulk.length);
    expect(output.text().slice(4) === bulk.toString()).toBe(true);
    await remove(id);
  });

  it("swallows input that the process does not want", async () => {
    const id = newId();
    const { stream: stdin, sender } = guest.input();
    await guest.request(
      "container.create",
      specOf(id, processOf(["true"]), { stdio: { ...NO_STDIO, stdin } }),
    );
    await guest.request("process.start", { id, execId: "" });
    sender.write(Buffer.alloc(1 << 20));
    sender.finish();
    expect((await guest.exit(id)).status).toBe(0);
    await remove(id);
  });

  it("keeps the writes of two containers of one image apart", async () => {
    const write = (text: string): Promise<{ stdout: string }> =>
      run(`echo ${text} > /etc/passwd; sleep 0.3; cat /etc/passwd`, { rootfs: LAYERS });
    const [first, second] = await Promise.all([write("first"), write("second")]);
    expect([first.stdout, second.stdout]).toEqual(["first\n", "second\n"]);
    expect(await readFile(path.join(guest.share, "image/etc/passwd"), "utf8")).toContain("root:x:0:0");
  });

  it("runs ten containers at once", async () => {
    const results = await Promise.all(Array.from({ length: 10 }, (_, index) => run(`echo ${index}`)));
    expect(results.map((result) => result.stdout)).toEqual(
      Array.from({ length: 10 }, (_, index) => `${index}\n`),
    );
  });
});

describe("the guest agent's streams", () => {
  it("carry bulk without loss", async () => {
    const { stdout } = await run("seq 1 300000");
    expect(stdout.length).toBe(Array.from({ length: 300_000 }, (_, i) => `${i + 1}\n`).join("").length);
    expect(stdout.endsWith("\n299999\n300000\n")).toBe(true);
  });

  it("let a flood that nobody reads slow nobody else, and end with their process", async () => {
    const id = newId();
    const stdio = { ...NO_STDIO, stdout: guest.deafOutput() };
    await guest.request("container.create", specOf(id, processOf(["yes"]), { stdio }));
    await guest.request("process.start", { id, execId: "" });
    expect(await run("echo free")).toMatchObject({ status: 0, stdout: "free\n" });
    expect(guest.hasExited(id)).toBe(false);
    await guest.request("process.signal", { id, execId: "", signal: 9, all: false });
    // although its output was never read
    expect((await guest.exit(id)).status).toBe(137);
    await remove(id);
  });

  it("lose and double nothing across reconnects", async () => {
    const { id, output } = await start(["sh", "-c", "seq 1 200000"]);
    for (const bytes of [1000, 200_000, 600_000]) {
      await output.until(() => output.bytes() >= bytes);
      guest.disconnect();
      await guest.connect();
    }
    expect((await guest.exit(id)).status).toBe(0);
    await output.ended;
    expect(output.text() === Array.from({ length: 200_000 }, (_, i) => `${i + 1}\n`).join("")).toBe(true);
    await remove(id);
  });

  it("keep an exit that happens while no host is attached", async () => {
    const { id, output } = await start(["sh", "-c", "sleep 0.3; echo late; exit 9"]);
    guest.disconnect();
    await new Promise((resolve) => setTimeout(resolve, 800));
    await guest.connect();
    expect((await guest.exit(id)).status).toBe(9);
    await output.ended;
    expect(output.text()).toBe("late\n");
    await remove(id);
  });

  it.each([
    ["a frame of an unknown type", encodeFrame(99 as FrameType, 0, 0)],
    ["an oversized frame", Buffer.from([0x7f, 0xff, 0xff, 0xff, 1, 2, 3])],
    ["a request that is no JSON", encodeFrame(FrameType.Request, 0, 1_000_000, Buffer.from("{"))],
  ])("survive %s", async (_, bytes) => {
    const { id, output } = await start(["sh", "-c", "echo before; sleep 1; echo after; exit 4"]);
    await output.until((text) => text === "before\n");
    const before = guest.violations.length;
    guest.sendRaw(bytes);
    // the agent opens its port anew and says hello again, which is a reason to reconnect
    await expect.poll(() => guest.violations.length, { timeout: 10_000 }).toBe(before + 1);
    expect((await guest.exit(id)).status).toBe(4);
    await output.ended;
    expect(output.text()).toBe("before\nafter\n");
    await remove(id);
  });

  it("survive a frame that never ends", async () => {
    guest.sendRaw(encodeFrame(FrameType.Request, 0, 1_000_000, Buffer.alloc(1000)).subarray(0, 500));
    guest.disconnect();
    await guest.connect();
    expect(await run("echo fine")).toMatchObject({ stdout: "fine\n" });
  });
});

describe.each(WAYS)("the guest agent's namespaces and limits, %s,", (_way, way) => {
  beforeAll(() => {
    prepares = way;
  });

  it("put containers into one PID namespace where asked, and reap its orphans", async () => {
    const { id } = await start(["sleep", "1234"], { pidNamespace: "sandbox" });
    const script = "(sleep 0.1 &) ; sleep 0.4; ps -o pid,stat,comm,args; ls /proc/1/root/; echo root $?";
    const { stdout } = await run(script, { pidNamespace: "sandbox" });
    expect(stdout).toMatch(/\b1 S\s+pause/);
    expect(stdout).toContain("sleep 1234");
    expect(stdout).not.toMatch(/\bZ\b/);
    expect(stdout).not.toContain("rootfs");
    expect(guest.hasExited(id)).toBe(false);
    await remove(id);
  });

  it("end everything in a container with its first process, in the shared namespace, too", async () => {
    const { id, output } = await start(["sh", "-c", "sleep 555 & echo up; read line"], {
      pidNamespace: "sandbox",
    });
    await output.ended;
    expect((await guest.exit(id)).status).not.toBe(137);
    const { stdout } = await run("ps", { pidNamespace: "sandbox" });
    expect(stdout).not.toContain("sleep 555");
    await remove(id);
  });

  it("join another container's PID namespace", async () => {
    const { id } = await start(["sleep", "4321"]);
    const { stdout } = await run("cat /proc/1/cmdline", { pidNamespace: "target", pidTarget: id });
    expect(stdout).toBe("sleep\u00004321\u0000");
    await remove(id);
  });

  it("share /dev/shm", async () => {
    const { id } = await start(["sh", "-c", "echo shared > /dev/shm/x; echo up; exec sleep 100"]);
    const { stdout } = await run("sleep 0.2; cat /dev/shm/x; df -k /dev/shm | tail -1");
    expect(stdout).toContain("shared\n");
    expect(stdout).toMatch(/\b1024\b/);
    await remove(id);
  });

  it("apply limits, mask, directory and home, and let a user open its own stderr again", async () => {
    const script = "ulimit -n; ulimit -Hn; umask; pwd; echo $HOME; echo again > /dev/stderr";
    const process = {
      uid: 7,
      gid: 8,
      umask: 0o27,
      cwd: "/made/for/it",
      rlimits: [{ type: "RLIMIT_NOFILE", soft: 123, hard: 456 }],
    };
    const { stdout, stderr } = await run(script, { rootfs: LAYERS }, process);
    expect(stdout).toBe("123\n456\n0027\n/made/for/it\n/home/user\n");
    expect(stderr).toBe("again\n");
  });

  it("apply identity and capabilities", async () => {
    const capabilities = {
      bounding: capabilityMask(["CAP_CHOWN", "CAP_KILL"]),
      effective: capabilityMask(["CAP_KILL"]),
      permitted: capabilityMask(["CAP_KILL"]),
      inheritable: capabilityMask(["CAP_KILL"]),
      ambient: capabilityMask(["CAP_KILL"]),
    };
    const script = "grep -E '^(Cap|NoNewPrivs|Groups)' /proc/self/status; id";
    const { stdout } = await run(script, {}, { uid: 7, gid: 8, additionalGids: [9, 10], capabilities });
    expect(stdout).toContain("CapInh:\t0000000000000020\n");
    expect(stdout).toContain("CapPrm:\t0000000000000020\n");
    expect(stdout).toContain("CapEff:\t0000000000000020\n");
    expect(stdout).toContain("CapBnd:\t0000000000000021\n");
    expect(stdout).toContain("CapAmb:\t0000000000000020\n");
    expect(stdout).toContain("NoNewPrivs:\t1\n");
    expect(stdout).toContain("uid=7 gid=8 groups=9");
  });

  it("say that memory has run out", async () => {
    const result = await run(["sh", "-c", "tail /dev/zero"], { cgroup: { "memory.max": "8388608" } });
    expect(result).toMatchObject({ status: 137, oomKilled: true });
  });

  it("hide and protect paths, and set sysctls", async () => {
    const { stdout } = await run(
      "wc -c < /proc/kcore; ls /sys/firmware | wc -l; echo x > /proc/sys/kernel/domainname; cat /proc/sys/net/ipv4/ip_forward",
      {
        maskedPaths: ["/proc/kcore", "/sys/firmware", "/proc/nothing"],
        readonlyPaths: ["/proc/sys", "/proc/missing"],
        sysctl: { "net.ipv4.ip_forward": "1" },
      },
    );
    expect(stdout).toBe("0\n0\n1\n");
  });

  it("make a root read-only", async () => {
    const { stdout, stderr } = await run("touch /x; cat /etc/hostname; touch /dev/shm/y && echo shm", {
      rootfs: { ...LAYERS, readonly: true },
    });
    expect(stderr).toContain("Read-only file system");
    expect(stdout).toBe("pod-1\nshm\n");
  });

  it("give only the container's own cgroup", async () => {
    const { stdout } = await run(
      "cat /proc/self/cgroup; ls /sys/fs/cgroup | grep -c memory.max; cat /sys/fs/cgroup/pids.max",
      {
        cgroup: { "pids.max": "33" },
      },
    );
    expect(stdout).toBe("0::/\n1\n33\n");
  });
});

describe.each(WAYS)("the guest agent's mounts, %s,", (_way, way) => {
  beforeAll(() => {
    prepares = way;
  });

  it("bind directories and files of the share", async () => {
    await mkdir(path.join(guest.share, "volume"), { recursive: true });
    await writeFile(path.join(guest.share, "volume/data"), "data\n");
    const bind = (source: string, destination: string): ContainerCreate["mounts"][number] => ({
      type: "bind",
      source,
      destination,
      options: ["rbind", "rprivate", "ro"],
    });
    const mounts = [...MOUNTS, bind("volume", "/new/place"), bind("volume/data", "/etc/resolv.conf")];
    const { stdout } = await run("cat /new/place/data /etc/resolv.conf", { mounts });
    expect(stdout).toBe("data\ndata\n");
    for (const source of ["../etc", "/etc", "volume/../..", "nothing"]) {
      const creation = create(
        specOf("bad", processOf(["true"]), { mounts: [...MOUNTS, bind(source, "/x")] }),
      );
      await expect(creation).rejects.toMatchObject({ code: "MountFailed" });
    }
  });

  it("never leave the root of a hostile image", async () => {
    const name = `hostile-${way}`;
    const root = await makeRoot(name);
    await rm(path.join(root, "etc"), { recursive: true });
    await rm(path.join(root, "proc"), { recursive: true });
    await symlink("../../../../../run/sandbox", path.join(root, "etc"));
    await symlink("/run", path.join(root, "proc"));
    await symlink("/sys/fs/cgroup", path.join(root, "dev"));
    await symlink("../../../../bin/true", path.join(root, "sys"));
    const rootfs = { ...LAYERS, path: name };
    await run("true", { rootfs }).catch(() => undefined);
    await run("true", { rootfs, mounts: [] }).catch(() => undefined);
    // the guest's own places are what they were
    const { status, stdout } = await run("cat /etc/hostname; ls /proc/self/status");
    expect({ status, stdout }).toEqual({ status: 0, stdout: "pod-1\n/proc/self/status\n" });
  });

  it("refuse roots that are not in the share", async () => {
    for (const bad of ["../image", "/etc", "image/../..", "a:b"]) {
      const rootfs = { ...LAYERS, path: bad };
      const creation = create(specOf("bad", processOf(["true"]), { rootfs }));
      await expect(creation).rejects.toMatchObject({ code: "InvalidRootfs" });
    }
  });
});

describe("a child that was prepared ahead", () => {
  beforeAll(() => {
    prepares = true;
  });
  afterAll(() => {
    prepares = false;
  });

  it("makes a process that is as new as a forked one", async () => {
    await guest.request("child.prepare", {});
    const before = Number((await run("cut -d. -f1 /proc/uptime")).stdout);
    const { id, output } = await start(["sh", "-c", "cat /proc/1/stat; exec sleep 1000"]);
    const stat = await output.until((text) => text.includes("\n"));
    const ticks = Number(stat.slice(stat.lastIndexOf(")")).split(" ")[20]);
    expect(ticks).toBeGreaterThanOrEqual(before * 100);
    await guest.request("process.signal", { id, execId: "", signal: 9, all: true });
    await remove(id);
  });

  it("is there once, however often it was asked for", async () => {
    await Promise.all([1, 2, 3].map(() => guest.request("child.prepare", {})));
    const runs = [1, 2, 3].map((each) => run(`echo ${each}`));
    expect((await Promise.all(runs)).map(({ stdout }) => stdout)).toEqual(["1\n", "2\n", "3\n"]);
  });

  it("leaves to a fork what it cannot be told at once", async () => {
    const env = ["PATH=/bin:/usr/bin", `LONG=${"x".repeat(100_000)}`];
    const { stdout, status } = await run("echo $LONG | wc -c", {}, { env });
    expect({ stdout, status }).toEqual({ stdout: "100001\n", status: 0 });
  });

  it("leaves no process of its own behind", async () => {
    const { id } = await start(["sleep", "1000"]);
    const { pids } = await guest.request("container.pids", { id });
    expect(pids).toHaveLength(1);
    expect((await exec(id, "ls /proc | grep -c '^[0-9]'")).status).toBe(0);
    await guest.request("process.signal", { id, execId: "", signal: 9, all: true });
    expect(await guest.exit(id)).toMatchObject({ status: 137 });
    await remove(id);
  });
});

describe("the guest agent's disks and archives", () => {
  it("put the writable layer on a disk and give it back", async () => {
    const file = path.join(directory, "upper.ext4");
    copyEmptyImage(artifacts().emptyExt4, file, undefined);
    await guest.plugDisk("upper-1", file);
    const rootfs = { ...LAYERS, diskSerial: "upper-1", filesystem: "ext4" };
    expect(
      (await run("echo kept > /tmp/kept; mkfifo /tmp/fifo; cat /etc/passwd", { rootfs })).stdout,
    ).toContain("root");
    expect((await run("cat /tmp/kept; ls /tmp", { rootfs })).stdout).toBe("kept\nfifo\nkept\n");
  });

  it("mount a disk ahead of demand, and give it to one container, once", async () => {
    const file = path.join(directory, "spare.ext4");
    copyEmptyImage(artifacts().emptyExt4, file, undefined);
    await guest.plugDisk("spare-1", file);
    const disk = { diskSerial: "spare-1", filesystem: "ext4" };
    const prepare = () => guest.request("disk.prepare", disk);
    const rootfs = { ...LAYERS, ...disk };
    await prepare();
    await expect(prepare()).rejects.toMatchObject({ code: "IllegalTransition" });
    const script = "echo kept > /tmp/kept; echo written; exec sleep 1000";
    const { id, output } = await start(["sh", "-c", script], { rootfs });
    await output.until((text) => text.includes("written"));
    const second = guest.request("container.create", specOf("second", processOf(["true"]), { rootfs }));
    await expect(second).rejects.toMatchObject({ code: "IllegalTransition" });
    await expect(prepare()).rejects.toMatchObject({ code: "IllegalTransition" });
    await guest.request("process.signal", { id, execId: "", signal: 9, all: true });
    await remove(id);
    // it is a disk like any other again
    await prepare();
    expect((await run("cat /tmp/kept", { rootfs })).stdout).toBe("kept\n");
  });

  it("find a disk by themselves that could not be prepared", async () => {
    const file = path.join(directory, "late.ext4");
    copyEmptyImage(artifacts().emptyExt4, file, undefined);
    await guest.plugDisk("late-1", file);
    const wrong = { diskSerial: "late-1", filesystem: "vfat" };
    await expect(guest.request("disk.prepare", wrong)).rejects.toMatchObject({ code: "MountFailed" });
    const rootfs = { ...LAYERS, diskSerial: "late-1", filesystem: "ext4" };
    expect((await run("echo found", { rootfs })).stdout).toBe("found\n");
    const bad = guest.request("disk.prepare", { diskSerial: "../x", filesystem: "ext4" });
    await expect(bad).rejects.toMatchObject({ code: "InvalidArgument" });
  });

  it("take a disk as the root", async () => {
    const file = path.join(directory, "root.ext4");
    copyEmptyImage(artifacts().emptyExt4, file, undefined);
    await guest.plugDisk("root-1", file);
    // an empty root: nothing to execute in it, which proves where it was looked for
    const rootfs = { ...BUILTIN, kind: "disk", diskSerial: "root-1", filesystem: "ext4" } as const;
    const creation = guest.request("container.create", specOf("empty", processOf(["/bin/sh"]), { rootfs }));
    await expect(creation).rejects.toMatchObject({ code: "CommandNotFound" });
  });

  it("say which file system a disk does not have", async () => {
    const file = path.join(directory, "blank");
    await writeFile(file, "");
    await truncate(file, 1 << 20);
    await guest.plugDisk("blank-1", file);
    const rootfs = { ...LAYERS, diskSerial: "blank-1", filesystem: "ext4" };
    const creation = guest.request("container.create", specOf("blank", processOf(["true"]), { rootfs }));
    await expect(creation).rejects.toMatchObject({ code: "MountFailed" });
  });

  it.each([true, false])("unpack an image with owners, links and whiteouts (gzip: %s)", async (gzip) => {
    const base = await testImage(artifacts().busybox.binary);
    const layers = [
      awkwardLayer(),
      [
        { path: "gone/a", content: "a" },
        { path: "gone/b", content: "b" },
        { path: "file", content: "x" },
      ],
      [whiteout("file"), { path: "gone/.wh..wh..opq", content: "" }, { path: "gone/c", content: "c" }],
    ];
    const image = { ...withLayers(base, "test", ...layers), gzip };
    await writeFile(path.join(guest.share, `image-${gzip}.tar`), buildImage(image));
    const rootfs = { ...BUILTIN, kind: "archive", path: `image-${gzip}.tar` } as const;
    const script =
      "ls / /gone; stat -c '%u:%g %a %h %N' /owned/theirs /owned/setuid /owned/link; ls /owned; cat /owned/long*";
    const { status, stdout, stderr } = await run(script, { rootfs });
    expect({ status, stderr }).toEqual({ status: 0, stderr: "" });
    expect(stdout).not.toMatch(/^file$/m);
    expect(stdout).toContain("/gone:\nc\n");
    expect(stdout).toContain("1234:5678 640 2 ");
    expect(stdout).toContain("0:0 4755 1 ");
    expect(stdout).toContain("-> 'theirs'");
    expect(stdout.trimEnd().endsWith("long")).toBe(true);
  });

  it("refuse archives that are none, or that they cannot decompress", async () => {
    await writeFile(path.join(guest.share, "garbage.tar"), "nothing of the kind".repeat(100));
    const attempt = (name: string): Promise<unknown> =>
      guest.request(
        "container.create",
        specOf("bad", processOf(["true"]), { rootfs: { ...BUILTIN, kind: "archive", path: name } }),
      );
    await expect(attempt("garbage.tar")).rejects.toMatchObject({ code: "InvalidRootfs" });
    await expect(attempt("missing.tar")).rejects.toMatchObject({ code: "InvalidRootfs" });
    const zstd = Buffer.from([0x28, 0xb5, 0x2f, 0xfd, 0, 0, 0, 0]);
    const broken = Buffer.from([0x1f, 0x8b, 8, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12]);
    for (const [name, layer, reason] of [
      ["zstd", zstd, /zstd/],
      ["broken", broken, /decompressed|ends/],
    ] as const) {
      const manifest = JSON.stringify([{ Layers: ["layer.tar"] }]);
      const tar = writeTar([
        { path: "manifest.json", content: manifest },
        { path: "layer.tar", content: layer },
      ]);
      await writeFile(path.join(guest.share, `${name}.tar`), tar);
      const details = { reason: expect.stringMatching(reason) };
      await expect(attempt(`${name}.tar`)).rejects.toMatchObject({ code: "InvalidRootfs", details });
    }
  });
});

describe("the guest agent's answers to wrong requests", () => {
  it("name what is wrong", async () => {
    const { id } = await start(["sleep", "100"]);
    await expect(guest.request("container.create", specOf(id, processOf(["true"])))).rejects.toMatchObject({
      code: "ContainerExists",
    });
    const unknown = "nobody";
    await expect(remove(unknown)).rejects.toMatchObject({ code: "ContainerNotFound" });
    await expect(guest.request("process.start", { id, execId: "x" })).rejects.toMatchObject({
      code: "ProcessNotFound",
    });
    await expect(guest.request("process.start", { id, execId: "" })).rejects.toMatchObject({
      code: "IllegalTransition",
    });
    await guest.request("process.signal", { id, execId: "", signal: 9, all: true });
    await guest.exit(id);
    await expect(
      guest.request("process.signal", { id, execId: "", signal: 15, all: false }),
    ).rejects.toMatchObject({ code: "ProcessNotFound" });
    await expect(exec(id, "true")).rejects.toMatchObject({ code: "ContainerNotRunning" });
    await remove(id);
    await expect(guest.peer.request("container.create", { id: 7 }).result).rejects.toMatchObject({
      code: "InvalidArgument",
    });
    await expect(guest.peer.request("sandbox.explode", {}).result).rejects.toMatchObject({
      code: "Unimplemented",
    });
    for (const bad of ["", "../x", ".", "a/b"]) {
      await expect(guest.request("container.create", specOf(bad, processOf(["true"])))).rejects.toMatchObject(
        {
          code: "InvalidArgument",
        },
      );
    }
  });

  it("power the machine off, containers or not", async () => {
    await start(["sleep", "1000"]);
    await guest.request("sandbox.shutdown", {});
    await guest.exited;
  });
});

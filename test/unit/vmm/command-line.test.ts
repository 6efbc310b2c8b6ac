/** What QEMU is started with: confinement, clock, share, and nothing of the host's by accident. */
import { constants } from "node:fs";
import { describe, expect, it } from "vitest";
import { SLOT_BYTES } from "../../../src/contracts/images.ts";
import type { VmSpec } from "../../../src/contracts/vm.ts";
import { checkSpec } from "../../../src/vmm/common/spec.ts";
import { KVM } from "../../../src/vmm/qemu/accelerator.ts";
import { type CommandLineInput, commandLine, kernelArguments } from "../../../src/vmm/qemu/command-line.ts";
import { vmPaths } from "../../../src/vmm/qemu/paths.ts";
import { type ProcessInput, preload, vmmProcess } from "../../../src/vmm/qemu/process.ts";
import { emulation } from "../../../src/vmm/qemu/tcg/emulation.ts";

const MEBIBYTE = 1024 * 1024;
const SPEC: VmSpec = {
  id: "sandbox-1",
  directory: "/run/x",
  vcpus: 2,
  memoryBytes: 256 * MEBIBYTE,
  nics: 1,
  user: undefined,
  cgroups: ["/sys/fs/cgroup/x/cgroup.procs"],
  source: { kind: "boot" },
};
const LIMITS = { mostVcpus: 240 };
const FACTS = {
  maxOpenFiles: 20_000,
  kvmGroup: 108,
  vhostNet: false,
  programPaths: ["/usr", "/dev/urandom"],
};

function input(
  spec: Partial<VmSpec> = {},
  more: Partial<CommandLineInput> = {},
): CommandLineInput & ProcessInput {
  return {
    binary: "/usr/bin/qemu",
    spec: { ...SPEC, ...spec },
    paths: vmPaths("/run/x"),
    accelerator: emulation(2_599_998, 2 ** 27),
    memory: { kind: "own" },
    source: { kind: "own" },
    kernel: "/cache/vmlinux",
    initramfs: "/cache/initramfs",
    hasOwnFilter: true,
    filterLibrary: undefined,
    calls: { kvm: "for kvm", tcg: "for tcg", original: "for an original" },
    ...more,
  };
}

/** The value that follows an option. */
function option(argv: readonly string[], name: string): string | undefined {
  const at = argv.indexOf(name);
  return at < 0 ? undefined : argv[at + 1];
}

describe("the command line", () => {
  it("is confined by seccomp and reads no configuration", () => {
    const argv = commandLine(input());
    expect(option(argv, "-sandbox")).toBe(
      "on,obsolete=deny,elevateprivileges=deny,spawn=deny,resourcecontrol=deny",
    );
    for (const flag of ["-nodefaults", "-no-user-config"]) expect(argv).toContain(flag);
  });

  it("has a library in the place of QEMU's filter where QEMU was built without one", () => {
    const process = vmmProcess({ ...input(), filterLibrary: "/cache/fork.so" }, FACTS);
    expect(process.argv).not.toContain("-sandbox");
    expect(process.env).toEqual(["LC_ALL=C", "LD_PRELOAD=/proc/self/fd/9", "BLAZAR_LAST_PROGRAM=1"]);
    expect(process.files).toContainEqual({
      fd: 9,
      path: "/cache/fork.so",
      flags: constants.O_RDONLY,
      mode: 0,
    });
    // a clone has it preloaded already
    const clone = vmmProcess(
      { ...input(), filterLibrary: "/cache/fork.so", extra: preload("/cache/fork.so") },
      FACTS,
    );
    expect(clone.env).toEqual(process.env);
  });

  it("takes back what is free of no guest that counts on its content: a clone's would be the template's", () => {
    const balloons = commandLine(input()).filter((each) => each.startsWith("virtio-balloon"));
    expect(balloons).toEqual(["virtio-balloon-device,free-page-reporting=on,page-poison=off"]);
  });

  it("serves no files", () => {
    expect(commandLine(input()).join(" ")).not.toMatch(/fsdev|virtio-9p|virtfs/);
  });

  it("has network interfaces whose addresses tell the guest which is which, on taps that are its own already", () => {
    const argv = commandLine(input({ nics: 2 }));
    const netdevs = argv.flatMap((each, at) => (each === "-netdev" ? [argv[at + 1]] : []));
    expect(netdevs).toEqual(["tap,id=nic0,fd=12", "tap,id=nic1,fd=13"]);
    expect(argv.filter((each) => each.startsWith("virtio-net"))).toEqual([
      "virtio-net-device,netdev=nic0,mac=02:b1:a2:00:00:00",
      "virtio-net-device,netdev=nic1,mac=02:b1:a2:00:00:01",
    ]);
    expect(vmmProcess(input({ nics: 2 }), FACTS).taps).toEqual([{ fd: 12 }, { fd: 13 }]);
    expect(commandLine(input({ nics: 0 })).join(" ")).not.toContain("net");
  });

  it("has empty slots for images, whatever the VM is, and no file for them", () => {
    const argv = commandLine(input());
    const nodes = argv.flatMap((each, at) => (each === "-blockdev" ? [JSON.parse(argv[at + 1] ?? "")] : []));
    expect(nodes).toEqual([
      expect.objectContaining({ driver: "null-co", "node-name": "slot-empty", size: SLOT_BYTES }),
      { driver: "raw", "node-name": "slot0", "read-only": true, file: "slot-empty" },
      { driver: "raw", "node-name": "slot1", "read-only": true, file: "slot-empty" },
    ]);
    const devices = argv.filter((each) => each.startsWith("scsi-hd"));
    expect(devices.map((each) => /serial=([^,]*)/.exec(each)?.[1])).toEqual(["slot0", "slot1"]);
  });

  it("rounds memory up to what QEMU takes", () => {
    expect(option(commandLine(input({ memoryBytes: 200 * MEBIBYTE + 1 })), "-m")).toBe("201M");
  });

  it("gives emulated guests the host's TSC, and leaves it to KVM otherwise", () => {
    expect(kernelArguments(emulation(2_599_998, 2 ** 27))).toContain("tsc_early_khz=2599998 tsc=reliable");
    expect(kernelArguments(emulation(undefined, 2 ** 27))).not.toContain("tsc");
    expect(kernelArguments(KVM)).not.toContain("tsc");
  });

  it("weakens nothing in the guest's kernel", () => {
    const line = kernelArguments(emulation(1, 2 ** 27));
    for (const trade of ["mitigations=off", "nokaslr"]) expect(line).not.toContain(trade);
  });
});

describe("the process", () => {
  const user = { uid: 5000, gid: 5001 };

  it("with a user has no capability", () => {
    expect(vmmProcess(input({ user }), FACTS)).toMatchObject({
      uid: 5000,
      gid: 5001,
      groups: [],
      capabilities: [],
      cgroups: SPEC.cgroups,
    });
  });

  it("with a user lives in a jail in which nothing is left once it is sealed", () => {
    const { jail } = vmmProcess(input({ user }), FACTS);
    expect(jail?.mounts.map(({ source }) => source)).toEqual(["/usr", "/dev/urandom"]);
    for (const mount of jail?.mounts ?? []) expect(mount).toMatchObject({ temporary: true, follow: false });
    expect(jail?.forks).toBeUndefined();
    expect(vmmProcess(input(), FACTS).jail).toBeUndefined();
  });

  it("has /dev/kvm and its own directory in the jail only if it needs them", () => {
    const kvm = vmmProcess(input({ user }, { accelerator: KVM, binary: "/opt/qemu/bin/qemu" }), FACTS);
    const sources = kvm.jail?.mounts.map(({ source, readonly }) => [source, readonly]);
    expect(sources).toContainEqual(["/opt/qemu", true]);
    expect(sources).toContainEqual(["/dev/kvm", false]);
  });

  it("gets sockets that listen already, and names no path but those of descriptors", () => {
    const { argv, sockets } = vmmProcess(input({ user }), FACTS);
    expect(sockets).toEqual([
      { fd: 10, path: "/run/x/qmp.sock", mode: 0o600 },
      { fd: 11, path: "/run/x/agent.sock", mode: 0o600 },
    ]);
    expect(
      argv
        .slice(1)
        .join(" ")
        .match(/(?<=[=, ])\/[\w/.-]+/g),
    ).toEqual(["/proc/self/fd/3", "/proc/self/fd/4", "/dev/urandom"]);
  });

  it("has the host's kernel move its frames where both the guest and the kernel can", () => {
    const facts = { ...FACTS, vhostNet: true };
    const { argv, files } = vmmProcess(input({ user, nics: 2 }, { accelerator: KVM }), facts);
    const netdevs = argv.filter((each) => each.startsWith("tap,"));
    expect(netdevs).toEqual([
      "tap,id=nic0,fd=12,vhost=on,vhostfd=20",
      "tap,id=nic1,fd=13,vhost=on,vhostfd=21",
    ]);
    expect(files.filter(({ path }) => path === "/dev/vhost-net").map(({ fd }) => fd)).toEqual([20, 21]);
    for (const without of [vmmProcess(input(), facts), vmmProcess(input({}, { accelerator: KVM }), FACTS)]) {
      expect(without.argv.join(" ")).not.toContain("vhost");
      expect(without.files.map(({ path }) => path)).not.toContain("/dev/vhost-net");
    }
  });

  it("with a user gets kernel and initramfs as descriptors", () => {
    const process = vmmProcess(input({ user }), FACTS);
    expect(option(process.argv, "-kernel")).toBe("/proc/self/fd/3");
    expect(option(process.argv, "-initrd")).toBe("/proc/self/fd/4");
    const files = new Map(process.files.map((file) => [file.fd, file]));
    expect(files.get(3)).toMatchObject({ path: "/cache/vmlinux", flags: constants.O_RDONLY });
    expect(files.get(4)).toMatchObject({ path: "/cache/initramfs", flags: constants.O_RDONLY });
  });

  it("without a user opens them by name and keeps its limits low", () => {
    const process = vmmProcess(input(), FACTS);
    expect(process.uid).toBeUndefined();
    expect(option(process.argv, "-kernel")).toBe("/cache/vmlinux");
    expect(process.rlimits).toEqual([
      { type: "RLIMIT_CORE", soft: 0, hard: 0 },
      { type: "RLIMIT_NOFILE", soft: 20_000, hard: 20_000 },
    ]);
  });

  it("with a user has an end of what it may take of files, threads and locked memory", () => {
    const limits = new Map(vmmProcess(input({ user }), FACTS).rlimits.map(({ type, hard }) => [type, hard]));
    expect(Object.fromEntries(limits)).toEqual({
      RLIMIT_CORE: 0,
      RLIMIT_NOFILE: 20_000,
      RLIMIT_FSIZE: 2 ** 40,
      RLIMIT_NPROC: 2048,
      RLIMIT_MEMLOCK: 0,
      RLIMIT_MSGQUEUE: 0,
      RLIMIT_RTPRIO: 0,
      RLIMIT_NICE: 0,
    });
  });

  it("with a user may call what is on a list, and an original's copies what a VM may", () => {
    expect(vmmProcess(input({ user }), FACTS).jail?.calls).toBe("for tcg");
    expect(vmmProcess(input({ user }, { accelerator: KVM }), FACTS).jail?.calls).toBe("for kvm");
    const forks = { firstUid: 5000, count: 10 };
    const original = { ...input({ user }), extra: { env: [], files: [], forks } };
    expect(vmmProcess(original, FACTS).jail).toMatchObject({
      calls: "for an original",
      forks: { ...forks, calls: "for tcg" },
    });
  });

  it("with a pod is killed in the pod's turn when the host is out of memory, without one first", () => {
    const score = (cgroups: string[]): number | undefined =>
      vmmProcess(input({ cgroups }), FACTS).oomScoreAdj;
    expect(score([])).toBe(1000);
    expect(score(["/sys/fs/cgroup/kubepods/pod1/x/cgroup.procs"])).toBe(-997);
  });

  it("never follows a link when it opens its log", () => {
    for (const { fd, flags } of vmmProcess(input(), FACTS).files) {
      if (fd <= 2) expect(flags & constants.O_NOFOLLOW).toBe(constants.O_NOFOLLOW);
    }
  });

  it("joins the group of /dev/kvm only to use it", () => {
    expect(vmmProcess(input({ user }, { accelerator: KVM }), FACTS).groups).toEqual([108]);
    expect(vmmProcess(input({}, { accelerator: KVM }), FACTS).groups).toEqual([]);
  });
});

describe("a spec", () => {
  it.each<[string, Partial<VmSpec>]>([
    ["an id with a comma", { id: "a,b" }],
    ["an id that is empty", { id: "" }],
    ["a relative directory", { directory: "x" }],
    ["a relative cgroup", { cgroups: ["x"] }],
    ["no processor", { vcpus: 0 }],
    ["half a processor", { vcpus: 0.5 }],
    ["more processors than the VMM can have", { vcpus: 241 }],
    ["a relative template", { source: { kind: "clone", template: "x", disk: undefined } }],
    ["a relative disk", { source: { kind: "fork", original: "vm", disk: "x" } }],
    ["too little memory", { memoryBytes: MEBIBYTE }],
  ])("is refused with %s", (_name, wrong) => {
    expect(() => checkSpec({ ...SPEC, ...wrong }, LIMITS)).toThrow(
      expect.objectContaining({ code: "InvalidArgument" }),
    );
  });

  it("is fine otherwise", () => {
    expect(() => checkSpec(SPEC, LIMITS)).not.toThrow();
  });
});

/** What the command lines of a template and of its clones have in common, and what keeps a clone from its template. */
import { constants } from "node:fs";
import { describe, expect, it } from "vitest";
import { commandLine, type GuestMemory } from "../../../src/vmm/qemu/command-line.ts";
import { vmPaths } from "../../../src/vmm/qemu/paths.ts";
import { type MemorySource, type ProcessInput, vmmProcess } from "../../../src/vmm/qemu/process.ts";
import { emulation } from "../../../src/vmm/qemu/tcg/emulation.ts";

const INPUT: ProcessInput = {
  binary: "/usr/bin/qemu",
  spec: {
    id: "sandbox-1",
    directory: "/run/x",
    vcpus: 1,
    memoryBytes: 256 * 1024 * 1024,
    nics: 1,
    user: { uid: 61_000, gid: 61_000 },
    cgroups: [],
    source: { kind: "boot" },
  },
  paths: vmPaths("/run/x"),
  accelerator: emulation(2_600_000, 2 ** 27),
  kernel: "/cache/vmlinux",
  initramfs: "/cache/initramfs",
  filterLibrary: undefined,
  calls: { kvm: "a", tcg: "b", original: "c" },
};
const SAVED: MemorySource = { kind: "saved", memory: "/t/memory" };
const SEALED: MemorySource = {
  kind: "cloned",
  memory: "/proc/7/fd/9",
  state: "/t/state",
  protection: "sealed",
};
const READ_ONLY: MemorySource = {
  kind: "cloned",
  memory: "/t/memory",
  state: "/t/state",
  protection: "readonly",
};

/** Each option with its value, those that two machines must agree on. */
function devices(memory: GuestMemory): string[] {
  const argv = commandLine({ ...INPUT, memory, hasOwnFilter: true });
  return argv.flatMap((arg, at) =>
    ["-M", "-m", "-smp", "-cpu", "-accel", "-device", "-serial"].includes(arg)
      ? [`${arg} ${argv[at + 1]}`]
      : [],
  );
}

function memoryOf(source: MemorySource): string | undefined {
  return vmmProcess({ ...INPUT, source }, FACTS).argv.find((arg) => arg.startsWith("memory-backend-"));
}

function flagsOf(source: MemorySource, path: string): number | undefined {
  return vmmProcess({ ...INPUT, source }, FACTS).files.find((file) => file.path === path)?.flags;
}

const FACTS = {
  maxOpenFiles: undefined,
  kvmGroup: undefined,
  vhostNet: false,
  programPaths: ["/usr", "/dev/urandom"],
};

describe("a template and its clones", () => {
  it("have the same devices, and so has a VM that boots", () => {
    const own = devices({ kind: "own" });
    expect(own.length).toBeGreaterThan(8);
    expect(devices({ kind: "saved", path: "/m" })).toEqual(own);
    expect(devices({ kind: "cloned", path: "/m", protection: "sealed" })).toEqual(own);
  });

  it("never offer their memory to be merged with another VM's", () => {
    const sources: MemorySource[] = [{ kind: "own" }, SAVED, SEALED, READ_ONLY];
    expect(sources.map((source) => memoryOf(source)?.endsWith(",merge=off"))).toEqual([
      true,
      true,
      true,
      true,
    ]);
  });

  it("share memory one way only: a template writes its file, a clone copies what it changes", () => {
    expect(memoryOf(SAVED)).toContain("share=on");
    for (const clone of [SEALED, READ_ONLY]) expect(memoryOf(clone)).toContain("share=off");
  });
});

describe("a template's disk", () => {
  const prepared = { id: "prepared", path: "/scratch/prepared", readonly: false };

  it("is the same device in its clones, whose image each gets as the same descriptor", () => {
    const [saved, cloned] = [SAVED, SEALED].map(
      (source) => vmmProcess({ ...INPUT, source: { ...source, disk: prepared } }, FACTS).argv,
    );
    const deviceOf = (argv: readonly string[] = []) => argv.find((arg) => arg.startsWith("scsi-hd,"));
    expect(deviceOf(saved)).toContain("bus=disks.0,id=disk-prepared");
    expect(deviceOf(cloned)).toBe(deviceOf(saved));
    const imageOf = (argv: readonly string[] = []): unknown =>
      JSON.parse(argv[argv.indexOf("-blockdev") + 1] ?? "{}");
    expect(imageOf(saved)).toMatchObject({ file: { filename: "/dev/fdset/7" } });
    expect(imageOf(cloned)).toEqual(imageOf(saved));
  });

  it("is handed over: a VMM in a jail opens no path", () => {
    const { argv, files } = vmmProcess({ ...INPUT, source: { ...SEALED, disk: prepared } }, FACTS);
    expect(argv).toContain("fd=7,set=7");
    expect(files).toContainEqual({ fd: 7, path: "/scratch/prepared", flags: constants.O_RDWR, mode: 0 });
  });
});

describe("a clone", () => {
  it("opens a file that is not sealed for reading alone", () => {
    expect(memoryOf(READ_ONLY)).toContain("readonly=on,rom=off");
    expect(flagsOf(READ_ONLY, "/t/memory")).toBe(constants.O_RDONLY);
    expect(flagsOf(READ_ONLY, "/t/state")).toBe(constants.O_RDONLY);
  });

  it("opens sealed memory for writing, as an old QEMU must, to whom the seals say no", () => {
    expect(memoryOf(SEALED)).not.toContain("readonly");
    expect(flagsOf(SEALED, "/proc/7/fd/9")).toBe(constants.O_RDWR);
  });

  it("has neither kernel nor initramfs: it waits for its state instead of booting", () => {
    const { argv, files } = vmmProcess({ ...INPUT, source: SEALED }, FACTS);
    for (const option of ["-kernel", "-initrd", "-append"]) expect(argv).not.toContain(option);
    expect(argv.join(" ")).toContain("-incoming defer");
    expect(files.map(({ path }) => path)).not.toContain("/cache/vmlinux");
  });
});

/** What goes into the guest's image: the kernel out of its wrapping, modules in load order, the initramfs. */
import { gunzipSync, gzipSync } from "node:zlib";
import { describe, expect, test } from "vitest";
import { initramfsEntries } from "../../../guest/image/initramfs.ts";
import {
  loadOrder,
  type ModuleSource,
  modinfo,
  moduleTables,
  parseBuiltin,
} from "../../../guest/image/modules.ts";
import { extractVmlinux } from "../../../guest/image/vmlinux.ts";

function bzImage(payload: Buffer, declaredLength = payload.length): Buffer {
  const setupSectors = 1;
  const image = Buffer.alloc((setupSectors + 1) * 512 + 16 + payload.length);
  image[0x1f1] = setupSectors;
  image.write("HdrS", 0x202, "latin1");
  image.writeUInt16LE(0x020f, 0x206);
  image.writeUInt32LE(16, 0x248);
  image.writeUInt32LE(declaredLength, 0x24c);
  payload.copy(image, (setupSectors + 1) * 512 + 16);
  return image;
}

describe("vmlinux out of a bzImage", () => {
  const elf = Buffer.concat([Buffer.from([0x7f, 0x45, 0x4c, 0x46]), Buffer.alloc(100, 7)]);

  test("is the unpacked payload", async () => {
    expect((await extractVmlinux(bzImage(gzipSync(elf)))).equals(elf)).toBe(true);
  });

  test("is refused when the file is no bzImage", async () => {
    await expect(extractVmlinux(Buffer.alloc(4096))).rejects.toThrow(/not a bzImage/);
  });

  test("is refused when the compression is not known", async () => {
    await expect(extractVmlinux(bzImage(Buffer.alloc(64, 1)))).rejects.toThrow(
      /unknown compression \(010101/,
    );
  });

  test("is refused when the payload reaches past the end", async () => {
    await expect(extractVmlinux(bzImage(gzipSync(elf), 1 << 20))).rejects.toThrow(/past its end/);
  });

  test("is refused when no ELF file comes out", async () => {
    await expect(extractVmlinux(bzImage(gzipSync(Buffer.alloc(64))))).rejects.toThrow(/not an ELF/);
  });
});

describe("kernel modules", () => {
  const module = (text: string): Buffer => Buffer.from(`ELF\0${text}\0`);
  const source = (modules: Readonly<Record<string, string>>, builtin = ""): ModuleSource => ({
    builtin: parseBuiltin(builtin),
    files: new Map(Object.keys(modules).map((name) => [name, `drivers/${name.replaceAll("_", "-")}.ko`])),
    read: async (file) => module(modules[file.slice(8, -3).replaceAll("-", "_")] ?? ""),
  });

  test("tell what they need in their modinfo", () => {
    expect(modinfo(module("license=GPL\0depends=a,b\0softdep=pre: c"), "depends")).toEqual(["a,b"]);
  });

  test("load after what they depend on, each once, in the order they are wanted", async () => {
    const modules = {
      net: "depends=base,fail_over",
      base: "depends=",
      fail_over: "depends=base",
      console: "depends=base",
    };
    expect(await loadOrder(source(modules), ["console", "net"])).toEqual([
      "drivers/base.ko",
      "drivers/console.ko",
      "drivers/fail-over.ko",
      "drivers/net.ko",
    ]);
  });

  test("are left out when the kernel has them built in", async () => {
    const modules = { net: "depends=core" };
    expect(await loadOrder(source(modules, "kernel/core.ko\n"), ["core", "net"])).toEqual(["drivers/net.ko"]);
  });

  test("follow soft dependencies that name a module, and pass over aliases", async () => {
    const modules = { fs: "depends=\0softdep=pre: crypto-crc sum", sum: "depends=" };
    expect(await loadOrder(source(modules), ["fs"])).toEqual(["drivers/sum.ko", "drivers/fs.ko"]);
  });

  test("that do not exist are named with what needs them", async () => {
    await expect(loadOrder(source({ net: "depends=gone" }), ["net"])).rejects.toThrow(/gone.*needed by net/);
  });
});

describe("modules on demand", () => {
  const module = (text: string): Buffer => Buffer.from(`ELF\0${text}\0`);
  const modules: Readonly<Record<string, string>> = {
    bridge: "depends=stp,sum\0alias=rtnl-link-bridge",
    stp: "depends=llc",
    llc: "depends=",
    sum: "depends=",
  };
  const source: ModuleSource = {
    builtin: new Set(),
    files: new Map(Object.keys(modules).map((name) => [name, `net/${name}.ko`])),
    read: async (file) => module(modules[file.slice(4, -3)] ?? ""),
  };

  test("are listed with what modprobe has to load before, the first last, and with what the kernel calls them", async () => {
    expect(await moduleTables(source, ["llc", "stp", "bridge"])).toEqual({
      dependencies: "llc.ko:\nstp.ko: llc.ko\nbridge.ko: stp.ko llc.ko\n",
      aliases: "alias rtnl-link-bridge bridge\n",
    });
  });
});

describe("the initramfs", () => {
  const entries = initramfsEntries({
    agent: Buffer.from("agent"),
    modules: [
      { name: "b.ko", data: Buffer.from("b") },
      { name: "a.ko", data: Buffer.from("a") },
    ],
    onDemand: {
      release: "6.1.0",
      modules: [{ name: "c.ko", data: Buffer.from("c") }],
      tables: { dependencies: "c.ko:\n", aliases: "alias rtnl-link-c c\n" },
    },
    busybox: Buffer.from("busybox"),
    applets: ["bin/busybox", "bin/ls", "usr/bin/env", "linuxrc"],
  });
  const at = (path: string) => entries.find((entry) => entry.path === path);

  test("starts the agent and gives it a console", () => {
    expect(at("init")).toMatchObject({ type: "file", mode: 0o755 });
    expect(at("dev/console")).toMatchObject({ type: "characterDevice", major: 5, minor: 1 });
  });

  test("lists the modules in load order", () => {
    expect(at("modules/order")).toMatchObject({ data: Buffer.from("b.ko\na.ko\n") });
    expect(at("modules/a.ko")).toMatchObject({ data: Buffer.from("a") });
  });

  test("has modules for the kernel to ask for, where modprobe finds them", () => {
    expect(at("sbin/modprobe")).toEqual({
      type: "symlink",
      path: "sbin/modprobe",
      target: "/rootfs/bin/busybox",
    });
    const packed = at("lib/modules/6.1.0/c.ko.gz");
    expect(packed?.type === "file" && gunzipSync(packed.data).toString()).toBe("c");
    expect(at("lib/modules/6.1.0/modules.dep")).toMatchObject({ data: Buffer.from("c.ko.gz:\n") });
  });

  test("has a root file system whose applets lead to busybox", () => {
    expect(at("rootfs/bin/busybox")).toMatchObject({ type: "file", mode: 0o755 });
    expect(at("rootfs/bin/ls")).toEqual({ type: "symlink", path: "rootfs/bin/ls", target: "/bin/busybox" });
    expect(at("rootfs/linuxrc")).toBeUndefined();
    expect(at("rootfs/tmp")).toMatchObject({ mode: 0o1777 });
  });

  test("names every directory before what is in it, and nothing twice", () => {
    const seen = new Set<string>();
    for (const { path } of entries) {
      expect(seen.has(path), `${path} twice`).toBe(false);
      const slash = path.lastIndexOf("/");
      if (slash > 0) expect(seen.has(path.slice(0, slash)), `parent of ${path}`).toBe(true);
      seen.add(path);
    }
  });
});

/** Roots and writable layers that come on disks and in archives. */
import { chmod, chown, rm, symlink, truncate, writeFile } from "node:fs/promises";
import path from "node:path";
import { describe, expect, it } from "vitest";
import { buildImage } from "../../../lab/images/image-builder.ts";
import { writeTar } from "../../../lab/images/tar-writer.ts";
import { artifacts } from "../../../setup/steps/artifacts.ts";
import { copyEmptyImage } from "../../../src/workers/images/disk-image.ts";
import { type AgentBench, BUILTIN, LAYERS, processOf, specOf } from "../../support/bench/agent.ts";
import { awkwardLayer, testImage, whiteout, withLayers } from "../../support/oci-image.ts";

export function describeDisks(bench: AgentBench): void {
  describe("the guest agent's disks and archives", () => {
    it("put the writable layer on a disk and give it back", async () => {
      const file = path.join(bench.directory, "upper.ext4");
      copyEmptyImage(artifacts().emptyExt4, file, undefined);
      await bench.guest.plugDisk("upper-1", file);
      const rootfs = { ...LAYERS, diskSerial: "upper-1", filesystem: "ext4" };
      expect(
        (await bench.run("echo kept > /tmp/kept; mkfifo /tmp/fifo; cat /etc/passwd", { rootfs })).stdout,
      ).toContain("root");
      expect((await bench.run("cat /tmp/kept; ls /tmp", { rootfs })).stdout).toBe("kept\nfifo\nkept\n");
    });

    it("mount a disk ahead of demand, and give it to one container, once", async () => {
      const file = path.join(bench.directory, "prepared.ext4");
      copyEmptyImage(artifacts().emptyExt4, file, undefined);
      await bench.guest.plugDisk("prepared-1", file);
      const disk = { diskSerial: "prepared-1", filesystem: "ext4" };
      const prepare = () => bench.guest.request("disk.prepare", disk);
      const rootfs = { ...LAYERS, ...disk };
      await prepare();
      await expect(prepare()).rejects.toMatchObject({ code: "IllegalTransition" });
      const script = "echo kept > /tmp/kept; echo written; exec sleep 1000";
      const { id, output } = await bench.stay(["sh", "-c", script], { rootfs });
      await output.until((text) => text.includes("written"));
      const second = bench.guest.request(
        "container.create",
        specOf("second", processOf(["true"]), { rootfs }),
      );
      await expect(second).rejects.toMatchObject({ code: "IllegalTransition" });
      await expect(prepare()).rejects.toMatchObject({ code: "IllegalTransition" });
      await bench.guest.request("process.signal", { id, execId: "", signal: 9, all: true });
      await bench.remove(id);
      // it is a disk like any other again
      await prepare();
      expect((await bench.run("cat /tmp/kept", { rootfs })).stdout).toBe("kept\n");
    });

    it("see an /etc as their image has it, whatever was made in it ahead", async () => {
      const script = "stat -c '%n %F %a %u %g' /etc /etc/*; cat /etc/hosts /etc/resolv.conf; ls -a /etc /tmp";
      const images: [string, (etc: string) => Promise<unknown>][] = [
        ["plain", () => Promise.resolve()],
        ["strict", (etc) => chmod(etc, 0o750)],
        ["named", (etc) => writeFile(path.join(etc, "hosts"), "the image's own\n", { mode: 0o600 })],
        ["hosts linked", (etc) => symlink("../tmp/hosts", path.join(etc, "hosts"))],
        ["linked", (etc) => rm(etc, { recursive: true }).then(() => symlink("tmp", etc))],
        ["without", (etc) => rm(etc, { recursive: true })],
      ];
      for (const [name, change] of images) {
        const place = `etc-${name.replace(" ", "-")}`;
        const root = await bench.makeRoot(place);
        await change(path.join(root, "etc"));
        const rootfs = { ...LAYERS, path: place };
        const plain = await bench.run(script, { rootfs });
        const file = path.join(bench.directory, `${place}.ext4`);
        copyEmptyImage(artifacts().emptyExt4, file, undefined);
        const disk = { diskSerial: place, filesystem: "ext4" };
        await bench.guest.plugDisk(disk.diskSerial, file);
        await bench.guest.request("disk.prepare", disk);
        const prepared = await bench.run(script, { rootfs: { ...rootfs, ...disk } });
        expect([name, prepared]).toEqual([name, plain]);
        expect([name, plain.stdout]).toEqual([
          name,
          expect.stringContaining(`/etc/hosts ${name === "hosts linked" ? "symbolic link" : "regular file"}`),
        ]);
      }
    });

    it("give the root mode and owner of the image's, once: then they are the container's", async () => {
      const root = await bench.makeRoot("owned");
      await chmod(root, 0o1700);
      await chown(root, 1000, 1001);
      const look = "stat -c '%a %u %g' /";
      const rootfs = { ...LAYERS, path: "owned" };
      expect((await bench.run(look, { rootfs })).stdout).toBe("1700 1000 1001\n");
      for (const prepared of [false, true]) {
        const file = path.join(bench.directory, `owned-${prepared}.ext4`);
        copyEmptyImage(artifacts().emptyExt4, file, undefined);
        const disk = { diskSerial: `owned-${prepared}`, filesystem: "ext4" };
        await bench.guest.plugDisk(disk.diskSerial, file);
        if (prepared) await bench.guest.request("disk.prepare", disk);
        const own = { rootfs: { ...rootfs, ...disk } };
        expect((await bench.run(`${look}; chmod 750 /`, own)).stdout).toBe("1700 1000 1001\n");
        expect((await bench.run(look, own)).stdout).toBe("750 1000 1001\n");
      }
    });

    it("find a disk by themselves that could not be prepared", async () => {
      const file = path.join(bench.directory, "late.ext4");
      copyEmptyImage(artifacts().emptyExt4, file, undefined);
      await bench.guest.plugDisk("late-1", file);
      const wrong = { diskSerial: "late-1", filesystem: "vfat" };
      await expect(bench.guest.request("disk.prepare", wrong)).rejects.toMatchObject({ code: "MountFailed" });
      const rootfs = { ...LAYERS, diskSerial: "late-1", filesystem: "ext4" };
      expect((await bench.run("echo found", { rootfs })).stdout).toBe("found\n");
      const bad = bench.guest.request("disk.prepare", { diskSerial: "../x", filesystem: "ext4" });
      await expect(bad).rejects.toMatchObject({ code: "InvalidArgument" });
    });

    it("take a disk as the root", async () => {
      const file = path.join(bench.directory, "root.ext4");
      copyEmptyImage(artifacts().emptyExt4, file, undefined);
      await bench.guest.plugDisk("root-1", file);
      // an empty root: nothing to execute in it, which proves where it was looked for
      const rootfs = { ...BUILTIN, kind: "disk", diskSerial: "root-1", filesystem: "ext4" } as const;
      const creation = bench.guest.request(
        "container.create",
        specOf("empty", processOf(["/bin/sh"]), { rootfs }),
      );
      await expect(creation).rejects.toMatchObject({ code: "CommandNotFound" });
    });

    it("say which file system a disk does not have", async () => {
      const file = path.join(bench.directory, "blank");
      await writeFile(file, "");
      await truncate(file, 1 << 20);
      await bench.guest.plugDisk("blank-1", file);
      const rootfs = { ...LAYERS, diskSerial: "blank-1", filesystem: "ext4" };
      const creation = bench.guest.request(
        "container.create",
        specOf("blank", processOf(["true"]), { rootfs }),
      );
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
      await writeFile(path.join(bench.guest.share, `image-${gzip}.tar`), buildImage(image));
      const rootfs = { ...BUILTIN, kind: "archive", path: `image-${gzip}.tar` } as const;
      const script =
        "ls / /gone; stat -c '%u:%g %a %h %N' /owned/theirs /owned/setuid /owned/link; ls /owned; cat /owned/long*";
      const { status, stdout, stderr } = await bench.run(script, { rootfs });
      expect({ status, stderr }).toEqual({ status: 0, stderr: "" });
      expect(stdout).not.toMatch(/^file$/m);
      expect(stdout).toContain("/gone:\nc\n");
      expect(stdout).toContain("1234:5678 640 2 ");
      expect(stdout).toContain("0:0 4755 1 ");
      expect(stdout).toContain("-> 'theirs'");
      expect(stdout.trimEnd().endsWith("long")).toBe(true);
    });

    it("refuse archives that are none, or that they cannot decompress", async () => {
      await writeFile(path.join(bench.guest.share, "garbage.tar"), "nothing of the kind".repeat(100));
      const attempt = (name: string): Promise<unknown> =>
        bench.guest.request(
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
        await writeFile(path.join(bench.guest.share, `${name}.tar`), tar);
        const details = { reason: expect.stringMatching(reason) };
        await expect(attempt(`${name}.tar`)).rejects.toMatchObject({ code: "InvalidRootfs", details });
      }
    });
  });
}

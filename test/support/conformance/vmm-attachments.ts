/** The part of the suite of VMM drivers about what is attached to a running VM: disks, ports, images. */
import { mkdtemp, rm } from "node:fs/promises";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import type { VmDisk } from "../../../src/contracts/vm.ts";
import { SLOT_SERIALS } from "../../../src/protocol/guest/messages.ts";
import { greet, type VmmBench } from "./vmm-bench.ts";

export function attaching(bench: () => VmmBench): void {
  describe("what is attached to a running VM", () => {
    it("takes disks and lets go of them, as often as asked", async () => {
      const vm = await bench().driver.launch(await bench().spec("vm"));
      const disk: VmDisk = { id: "c1-upper", path: await bench().diskImage(), readonly: false };
      const longest: VmDisk = {
        id: "0123456789abcdef0123456789abcde",
        path: await bench().diskImage(),
        readonly: true,
      };
      await Promise.all([vm.attachDisk(disk), vm.attachDisk(longest)]);
      await Promise.all([vm.detachDisk(disk.id), vm.detachDisk(longest.id)]);
      await vm.attachDisk(disk);
      await vm.detachDisk(disk.id);
      await vm.detachDisk(disk.id);
      await vm.detachDisk("never-there");
      await vm.kill();
    });

    it("refuses a disk of an id that it has, or that no disk may have", async () => {
      const vm = await bench().driver.launch(await bench().spec("vm"));
      const disk: VmDisk = { id: "c1", path: await bench().diskImage(), readonly: false };
      await vm.attachDisk(disk);
      await expect(vm.attachDisk({ ...disk, path: await bench().diskImage() })).rejects.toMatchObject({
        code: "QmpFailed",
      });
      await expect(vm.attachDisk({ ...disk, id: "C1,x" })).rejects.toMatchObject({ code: "InvalidArgument" });
      await vm.detachDisk("c1");
      await vm.kill();
    });

    it("takes ports and lets go of them, as often as asked", async () => {
      const vm = await bench().driver.launch(await bench().spec("vm"));
      const host = await listeningSocket();
      const port = { name: "some.port.0", socket: host.path };
      for (let round = 0; round < 3; round++) {
        await vm.attachPort(port);
        await expect(vm.attachPort(port)).rejects.toMatchObject({ code: "QmpFailed" });
        await vm.detachPort(port.name);
        await vm.detachPort(port.name);
      }
      await expect(vm.attachPort({ ...port, name: "A,b" })).rejects.toMatchObject({
        code: "InvalidArgument",
      });
      await greet(vm);
      await vm.kill();
      await host.close();
    });

    it("takes images into its slots and beyond, each under a serial of its own, as often as asked", async () => {
      const vm = await bench().driver.launch(await bench().spec("vm"));
      const path = await bench().layerImage();
      const count = SLOT_SERIALS.length + 2;
      const attach = (): Promise<string[]> =>
        Promise.all(
          Array.from({ length: count }, (_, index) => vm.attachImage({ id: `image-${index}`, path })),
        );
      const first = await attach();
      expect(new Set(first).size).toBe(count);
      expect(first).toEqual(expect.arrayContaining([...SLOT_SERIALS]));
      // images that are attached side by side come to the slots in any order
      const pluggedIn = first.filter((serial) => !SLOT_SERIALS.some((each) => each === serial));
      for (const serial of SLOT_SERIALS) await vm.detachImage(serial);
      const again = [
        await vm.attachImage({ id: "again-0", path }),
        await vm.attachImage({ id: "again-1", path }),
      ];
      expect([...again].sort()).toEqual([...SLOT_SERIALS].sort());
      await Promise.all([...again, ...pluggedIn].map((serial) => vm.detachImage(serial)));
      await vm.detachImage(first[0] ?? "");
      await vm.detachImage("never-there");
      expect(SLOT_SERIALS).toContain(await vm.attachImage({ id: "image-0", path }));
      await vm.kill();
    });
  });
}

/** A unix socket that takes connections and keeps them until the other end closes. */
async function listeningSocket(): Promise<{ readonly path: string; close(): Promise<void> }> {
  const directory = await mkdtemp(join(tmpdir(), "blazar-port-"));
  const server = createServer((socket) => socket.on("error", () => undefined).resume());
  const path = join(directory, "port.sock");
  await new Promise<void>((resolve) => server.listen(path, resolve));
  const close = async (): Promise<void> => {
    await new Promise((resolve) => server.close(resolve));
    await rm(directory, { recursive: true });
  };
  return { path, close };
}

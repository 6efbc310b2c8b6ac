/** Writable layers on a host whose file system is full, and what they give back to it. */
import { chmod, rm, stat, statfs, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { until } from "../../../lab/host/until.ts";
import type { Vm } from "../../../src/contracts/vm.ts";
import { copyEmptyImage } from "../../../src/workers/images/disk-image.ts";
import { DriverGuest } from "../../support/bench/guest.ts";
import { QemuBench } from "../../support/bench/qemu.ts";
import { record } from "../../support/conformance/vmm-bench.ts";
import { sandboxSetup } from "../../support/guest-requests.ts";

const MEBIBYTE = 1024 * 1024;

let bench: QemuBench;
/** A host's file system of 64 MB. */
let small: string;

beforeEach(async () => {
  bench = await QemuBench.start();
  small = await bench.smallFileSystem(64 * MEBIBYTE);
});

afterEach(async () => {
  await bench.dispose();
});

/** A pod with a writable layer on the small file system, in which a shell obeys. */
class Pod {
  private constructor(
    readonly vm: Vm,
    readonly layer: string,
    readonly events: ReturnType<typeof record>,
    private readonly guest: DriverGuest,
  ) {}

  static async start(id: string, layerBytes?: number): Promise<Pod> {
    const layer = join(small, `${id}.ext4`);
    copyEmptyImage(bench.built.emptyExt4, layer, undefined);
    await chmod(layer, 0o666);
    const vm = await bench.driver.launch(await bench.spec(id));
    const guest = await DriverGuest.of(vm);
    await guest.ask("sandbox.setup", sandboxSetup());
    await vm.attachDisk({ id: "layer", path: layer, readonly: false });
    const disk = { diskSerial: "layer", filesystem: "ext4" };
    const rootfs = {
      kind: "builtin",
      path: "",
      imageSerials: [] as string[],
      ...disk,
      readonly: false,
    } as const;
    await guest.start("c", ["sleep", "1000"], { rootfs, layerBytes });
    return new Pod(vm, layer, record(vm), guest);
  }

  sh(script: string) {
    return this.guest.exec("c", ["sh", "-c", `exec 2>&1; ${script}`]);
  }

  /** What the layer takes on the host. */
  async bytes(): Promise<number> {
    return (await stat(this.layer)).blocks * 512;
  }
}

async function freeBytes(): Promise<number> {
  const { bavail, bsize } = await statfs(small);
  return bavail * bsize;
}

describe.runIf(process.getuid?.() === 0)("a host whose file system is full", () => {
  it("fails the writes of who needs space, halts nobody, and tells once; with space, writes succeed again", async () => {
    const [writer, innocent] = [await Pod.start("writer"), await Pod.start("innocent")];
    expect(
      await innocent.sh("echo mine > /mine; sync; dd if=/dev/zero of=/own bs=64k count=4 conv=fsync"),
    ).toMatchObject({ status: 0 });
    const acknowledged =
      "i=0; while dd if=/dev/urandom of=/f$i bs=256k count=1 conv=fsync 2>/dev/null; do md5sum /f$i >> /dev/shm/sums; i=$((i+1)); done; wc -l < /dev/shm/sums";
    await writer.sh("mkdir -p /dev/shm; for i in 1 2 3; do mkdir /d$i; done; sync");
    await writeFile(join(small, "filler"), Buffer.alloc((await freeBytes()) - 8 * MEBIBYTE));

    const filled = await writer.sh(acknowledged);
    expect(Number(filled.text)).toBeGreaterThan(10);
    expect(await freeBytes()).toBeLessThan(MEBIBYTE);
    expect(await writer.sh("dd if=/dev/zero of=/more bs=1M count=1 conv=fsync")).toMatchObject({
      status: 1,
      text: expect.stringMatching(/No space left|Input\/output error/),
    });
    // it goes on, and so does the other one, which writes where it has space
    expect((await writer.sh("echo alive")).text).toBe("alive\n");
    expect(
      await innocent.sh("cat /mine; dd if=/dev/urandom of=/own bs=64k count=4 conv=notrunc,fsync"),
    ).toMatchObject({ status: 0 });
    const kinds = writer.events.all.filter(({ type }) => type !== "vmm.diskFailed");
    expect(kinds).toEqual([]);
    expect(writer.events.all[0]).toEqual({
      ...{ type: "vmm.diskFailed", disk: "layer", operation: "write", noSpace: true },
      reason: "No space left on device",
    });
    expect(innocent.events.all).toEqual([]);

    await rm(join(small, "filler"));
    const again = await writer.sh(
      "echo 3 > /proc/sys/vm/drop_caches; md5sum -c /dev/shm/sums | grep -v OK; dd if=/dev/urandom of=/again bs=1M count=8 conv=fsync 2>/dev/null && sync && echo 3 > /proc/sys/vm/drop_caches; md5sum -c /dev/shm/sums | grep -v OK; wc -c < /again",
    );
    expect(again).toEqual({ status: 0, text: `${8 * MEBIBYTE}\n` });
    expect((await writer.sh("touch /x && rm /more /again /f*")).text).toBe("");
    await Promise.all([writer.vm.kill(), innocent.vm.kill()]);
    expect(await bench.leftovers()).toEqual([]);
  });
});

describe.runIf(process.getuid?.() === 0)("a writable layer", () => {
  it("gives back what is deleted in it, within seconds", async () => {
    const pod = await Pod.start("pod");
    const before = await pod.bytes();
    expect(
      (await pod.sh("dd if=/dev/urandom of=/big bs=1M count=40 2>/dev/null; sync; rm /big; df -k /")).text,
    ).toContain(" 0% /");
    await until("the file is small again", async () =>
      (await pod.bytes()) < before + MEBIBYTE ? true : undefined,
    );
    // a file that comes and goes between two looks
    await pod.sh(
      "for i in 1 2 3; do dd if=/dev/urandom of=/big bs=1M count=8 conv=fsync 2>/dev/null; rm /big; done; sleep 1",
    );
    await until("the file is small again", async () =>
      (await pod.bytes()) < before + MEBIBYTE ? true : undefined,
    );
    await pod.vm.kill();
  });

  it("that is bounded is full at its bound, and usable again when something is deleted", async () => {
    const pod = await Pod.start("pod", 8 * MEBIBYTE);
    const available = Number((await pod.sh("df -k / | tail -1 | awk '{print $4}'")).text);
    expect(available).toBeGreaterThan(7 * 1024);
    expect(available).toBeLessThanOrEqual(8 * 1024);
    const full = await pod.sh("dd if=/dev/zero of=/big bs=1M count=20");
    expect(full).toMatchObject({ status: 1, text: expect.stringContaining("No space left on device") });
    expect(await pod.bytes()).toBeLessThan(11 * MEBIBYTE);
    expect(await pod.sh("rm /big; dd if=/dev/zero of=/small bs=1M count=6 conv=fsync 2>/dev/null")).toEqual({
      status: 0,
      text: "",
    });
    // the host knows nothing of it
    expect(pod.events.all).toEqual([]);
    await pod.vm.kill();
  });
});

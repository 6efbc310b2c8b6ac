/** Images in a real VM: slots that show one image after the other, disks beyond the slots, and what a guest makes of them. */
import { execFile } from "node:child_process";
import { copyFileSync, mkdirSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { promisify } from "node:util";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { artifacts } from "../../../setup/steps/artifacts.ts";
import type { Vm } from "../../../src/contracts/vm.ts";
import type { ContainerCreate } from "../../../src/protocol/guest/messages.ts";
import { QemuBench } from "../../support/bench/qemu.ts";
import { RunningGuest } from "../../support/bench/running-guest.ts";
import { makeErofs } from "../../support/erofs.ts";
import { sandboxSetup } from "../../support/guest-requests.ts";

const root = process.getuid?.() === 0;
const run = promisify(execFile);
const PLUGGED_BYTES = 8 * 1024 * 1024;
const MANY = 110;
/** Tells by its exit status whether it may do what it is asked to. */
const MAY = `
#include <string.h>
#include <unistd.h>
int main(int count, char **words) {
  if (count > 2 && strcmp(words[1], "chown") == 0) return chown(words[2], 0, 0) != 0;
  return geteuid() != 0 || getuid() == 0;
}
`;

let bench: QemuBench;
let vm: Vm;
let guest: RunningGuest;

/** A root with busybox, and what a test adds to it. */
async function makeRoot(
  name: string,
  add: (directory: string) => unknown = () => undefined,
): Promise<string> {
  const directory = join(bench.directory, `root-${name}`);
  for (const each of ["bin", "dev", "etc", "proc", "tmp"])
    mkdirSync(join(directory, each), { recursive: true });
  copyFileSync(artifacts().busybox.binary, join(directory, "bin/busybox"));
  for (const applet of ["sh", "cat", "stat", "id", "ls", "sleep", "grep", "test", "head"])
    symlinkSync("/bin/busybox", join(directory, "bin", applet));
  await add(directory);
  return directory;
}

async function makeImage(
  name: string,
  add?: (directory: string) => unknown,
  bytes?: number,
): Promise<string> {
  return makeErofs(await makeRoot(name, add), join(bench.directory, `${name}.erofs`), bytes);
}

function over(...imageSerials: string[]): Partial<ContainerCreate> {
  const rootfs = {
    kind: "image",
    path: "",
    imageSerials,
    diskSerial: "",
    filesystem: "",
    readonly: false,
  } as const;
  return { rootfs };
}

describe.skipIf(!root)("an image in a VM", () => {
  beforeAll(async () => {
    bench = await QemuBench.start();
  });
  afterAll(async () => {
    await bench.dispose();
  });
  let number = 0;
  beforeEach(async () => {
    vm = await bench.driver.launch(await bench.spec(`vm-${number++}`));
    guest = await RunningGuest.of(vm);
    await guest.ask("sandbox.setup", sandboxSetup());
  });
  afterEach(async () => {
    await vm.kill();
  });

  it("is in a slot that the guest has found before, and the next one in it shows nothing of it", async () => {
    const content = (name: string) => (directory: string) => {
      // the same names and sizes at the same places: what is cached of one would be taken for the other's
      writeFileSync(join(directory, "tmp/name"), `${name}${".".repeat(100_000)}`);
      mkdirSync(join(directory, `tmp/${name}`));
    };
    const images = [await makeImage("one", content("one")), await makeImage("two", content("two"))];
    for (const round of [0, 1, 2, 3]) {
      const name = ["one", "two"][round % 2] ?? "";
      const serial = await vm.attachImage({ id: `image-${round}`, path: images[round % 2] ?? "" });
      expect(serial).toBe("slot0");
      const script = `grep -q '^${name}\\.*$' /tmp/name && test -d /tmp/${name} && test "$(ls /tmp)" = "name
${name}"`;
      expect(await guest.run(`c${round}`, ["sh", "-c", script], over(serial))).toBe(0);
      await vm.detachImage(serial);
    }
  });

  it("serves containers that come and go, and is given back after the last of them", async () => {
    const serial = await vm.attachImage({ id: "image-1", path: await makeImage("shared") });
    const stay = ["sh", "-c", "exec sleep 1000"];
    await Promise.all(["a", "b"].map((id) => guest.start(id, stay, over(serial))));
    expect(await guest.run("c", ["sh", "-c", "echo mine > /tmp/mine"], over(serial))).toBe(0);
    expect(await guest.run("d", ["sh", "-c", "! test -e /tmp/mine"], over(serial))).toBe(0);
    await guest.remove("a");
    expect(await guest.run("e", ["cat", "/bin/busybox"], over(serial))).toBe(0);
    await Promise.all([guest.remove("b"), guest.run("f", ["id"], over(serial))]);
    await vm.detachImage(serial);
    const other = await vm.attachImage({ id: "image-2", path: await makeImage("later") });
    expect(other).toBe(serial);
    expect(await guest.run("g", ["id"], over(other))).toBe(0);
  });

  it("stays mounted for later containers if it was mounted ahead; another image takes the other slot", async () => {
    const serial = await vm.attachImage({ id: "image-1", path: await makeImage("ahead") });
    for (const _ of [1, 2]) await guest.ask("image.prepare", { serial });
    expect(await guest.run("a", ["id"], over(serial))).toBe(0);
    const other = await vm.attachImage({ id: "image-2", path: await makeImage("beside") });
    expect(other).not.toBe(serial);
    expect(await guest.run("b", ["id"], over(other))).toBe(0);
    await vm.detachImage(other);
    expect(await guest.run("c", ["cat", "/bin/busybox"], over(serial))).toBe(0);
    await expect(guest.ask("image.prepare", { serial: "../x" })).rejects.toMatchObject({
      code: "InvalidArgument",
    });
  });

  it("keeps what its files may do: set-uid, capabilities, device nodes", async () => {
    const program = join(bench.directory, "may");
    writeFileSync(`${program}.c`, MAY);
    await run("musl-gcc", ["-static", "-o", program, `${program}.c`]);
    const path = await makeImage("special", async (directory) => {
      const file = (name: string) => join(directory, name);
      for (const name of ["bin/plain", "bin/set-uid", "bin/capable"]) copyFileSync(program, file(name));
      await run("chmod", ["4755", file("bin/set-uid")]);
      await run("setcap", ["cap_chown+ep", file("bin/capable")]);
      writeFileSync(file("tmp/file"), "");
      await run("chown", ["1000:1000", file("tmp/file")]);
      await run("mknod", [file("tmp/zero"), "c", "1", "5"]);
      await run("mknod", [file("tmp/pipe"), "p"]);
    });
    const serial = await vm.attachImage({ id: "image-1", path });
    const as = { uid: 1000, gid: 1000, noNewPrivileges: false };
    const may = (...args: string[]) => guest.run("c", args, over(serial), as);
    expect(await may("/bin/plain", "be-root")).not.toBe(0);
    expect(await may("/bin/set-uid", "be-root")).toBe(0);
    expect(await may("/bin/plain", "chown", "/tmp/file")).not.toBe(0);
    expect(await may("/bin/capable", "chown", "/tmp/file")).toBe(0);
    expect(await guest.run("c", ["sh", "-c", "test -p /tmp/pipe && head -c 3 /tmp/zero"], over(serial))).toBe(
      0,
    );
    await vm.detachImage(serial);
  });

  it("gives the container's root its own root's mode and owner", async () => {
    const path = await makeImage("owned", (directory) =>
      run("chown", ["1000:1001", directory]).then(() => run("chmod", ["700", directory])),
    );
    const serial = await vm.attachImage({ id: "image-1", path });
    const script = `test "$(stat -c '%a %u %g' /)" = "700 1000 1001"`;
    expect(await guest.run("c", ["sh", "-c", script], over(serial))).toBe(0);
    await vm.detachImage(serial);
  });

  it("may be one of several that are stacked", async () => {
    const top = join(bench.directory, "top");
    mkdirSync(join(top, "tmp"), { recursive: true });
    writeFileSync(join(top, "tmp/name"), "top");
    const upper = await makeErofs(top, join(bench.directory, "top.erofs"), PLUGGED_BYTES);
    const lower = await makeImage("bottom", (directory) =>
      writeFileSync(join(directory, "tmp/name"), "bottom"),
    );
    const serials = [
      await vm.attachImage({ id: "upper", path: upper }),
      await vm.attachImage({ id: "lower", path: lower }),
    ];
    expect(serials).toEqual(["upper", "slot0"]);
    expect(await guest.run("c", ["sh", "-c", "grep -q top /tmp/name"], over(...serials))).toBe(0);
    for (const serial of serials) await vm.detachImage(serial);
  });

  it("that is no image is refused by the guest, which can use the slot afterwards", async () => {
    const broken = await bench.layerImage();
    const serial = await vm.attachImage({ id: "broken", path: broken });
    await expect(guest.run("c", ["id"], over(serial))).rejects.toMatchObject({ code: "ImageBroken" });
    await vm.detachImage(serial);
    await expect(vm.attachImage({ id: "gone", path: "/nowhere" })).rejects.toMatchObject({
      code: "StorageFailed",
    });
    const good = await vm.attachImage({ id: "good", path: await makeImage("good") });
    expect(good).toBe(serial);
    expect(await guest.run("d", ["id"], over(good))).toBe(0);
  });

  it(`can be one of more than a hundred disks`, async () => {
    const path = await makeImage("many", undefined, PLUGGED_BYTES);
    const serials: string[] = [];
    for (let index = 0; index < MANY; index++)
      serials.push(await vm.attachImage({ id: `many-${index}`, path }));
    const [first, last] = [serials[0] ?? "", serials.at(-1) ?? ""];
    expect(last).toBe(`many-${MANY - 1}`);
    expect(await guest.run("a", ["id"], over(last))).toBe(0);
    expect(await guest.run("b", ["id"], over(first))).toBe(0);
    const sysfs = { type: "sysfs", source: "sysfs", destination: "/sys", options: ["ro"] };
    // one letter is not enough for the names of that many
    const count = `test "$(ls /sys/block | grep -c '^sd[a-z][a-z]$')" -gt ${MANY - 30}`;
    expect(await guest.run("c", ["sh", "-c", count], { mounts: [sysfs] })).toBe(0);
    for (const serial of serials) await vm.detachImage(serial);
  }, 120_000);
});

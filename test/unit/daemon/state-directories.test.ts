/** The directories of a daemon: those that cannot be made, and those that are not a daemon's. */
import { chmod, mkdir, readdir, readFile, rm, stat, symlink, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { parseConfig } from "../../../src/daemon/config/load.ts";
import { makeStateDirectories, takeStateDirectories } from "../../../src/daemon/state-directories.ts";
import { ownDirectory } from "../../../src/host/storage/own-directory.ts";
import { temporaryDirectory } from "../../support/temporary-directory.ts";

async function bench() {
  const directory = await temporaryDirectory();
  const [state, scratch] = [join(directory, "state"), join(directory, "scratch")];
  await mkdir(state, { mode: 0o711 });
  const text = `[daemon]\nstate_directory = "${state}"\n[storage]\nscratch_directory = "${scratch}"`;
  const config = parseConfig(text, "test");
  const take = async () => await (await takeStateDirectories(config)).release();
  return { directory, state, scratch, config, take };
}

it("a state directory that is a file is refused, with the key to set", async () => {
  const file = join(await temporaryDirectory(), "file");
  await writeFile(file, "");
  const config = parseConfig(`[daemon]\nstate_directory = "${file}"`, "f");
  const refused = expect(makeStateDirectories(config)).rejects;
  await refused.toMatchObject({
    code: "HostResource",
    message: expect.stringContaining("daemon.state_directory"),
  });
});

describe("a state directory", () => {
  it("is taken if it is empty, and again by the next daemon whatever the first has left in it", async () => {
    const { state, take } = await bench();
    await take();
    await mkdir(join(state, "vm", "left"));
    await take();
    expect(await readdir(join(state, "vm"))).toEqual(["left"]);
  });

  it.each(["vm/images", "sandboxes/play", "uplinks/x"])(
    "with somebody's %s in it is refused, and nothing is made in it",
    async (name) => {
      const { state, take } = await bench();
      await mkdir(join(state, name), { recursive: true });
      await expect(take()).rejects.toMatchObject({
        code: "HostResource",
        message: expect.stringMatching(new RegExp(`no blazard has made .*${name}.*daemon.state_directory`)),
      });
      expect(await readdir(state)).toEqual([name.split("/")[0]]);
    },
  );

  it("is still a daemon's when somebody has removed the lock's file", async () => {
    const { state, take } = await bench();
    await take();
    await mkdir(join(state, "vm", "left"));
    await writeFile(join(state, "journals", "s1.jsonl"), "");
    await rm(join(state, "daemon.lock"));
    await take();
  });

  it("that others may write to is refused", async () => {
    const { state, take } = await bench();
    await chmod(state, 0o777);
    await expect(take()).rejects.toThrow(/others may write to it; .*daemon\.state_directory/);
  });

  it.each(["vm", "sandboxes", "uplinks", "journals"])(
    "whose %s is a symbolic link is refused",
    async (name) => {
      const { directory, state, take } = await bench();
      await mkdir(join(directory, "precious", "file"), { recursive: true });
      await symlink(join(directory, "precious"), join(state, name));
      await expect(take()).rejects.toThrow(/is a symbolic link/);
    },
  );

  it("writes to no file that a link of the lock's name leads to", async () => {
    const { directory, state, take } = await bench();
    await writeFile(join(directory, "precious"), "precious");
    await symlink(join(directory, "precious"), join(state, "daemon.lock"));
    await expect(take()).rejects.toMatchObject({ code: "HostResource" });
    expect(await readFile(join(directory, "precious"), "utf8")).toBe("precious");
  });
});

describe("a scratch directory", () => {
  it("is the daemon's that comes first", async () => {
    const { state, scratch, take } = await bench();
    await take();
    expect(await ownDirectory(scratch, state)).toBe(scratch);
    expect(await ownDirectory(scratch, "/another")).toBeUndefined();
  });

  it("with disks that were there before is nobody's, and it says so", async () => {
    const { state, scratch, take } = await bench();
    await mkdir(scratch);
    await writeFile(join(scratch, "mine.ext4"), "");
    await take();
    await expect(ownDirectory(scratch, state)).rejects.toThrow(
      /some were there before any blazard.*move them/,
    );
    await rm(join(scratch, "mine.ext4"));
    await take();
    expect(await ownDirectory(scratch, state)).toBe(scratch);
  });
});

it("what is in a state directory is for its owner alone, also what an earlier release has made", async () => {
  const directory = await temporaryDirectory();
  const [state, scratch] = [join(directory, "state"), join(directory, "scratch")];
  await mkdir(join(state, "sandboxes"), { recursive: true });
  await chmod(join(state, "sandboxes"), 0o711);
  const config = parseConfig(
    `[daemon]\nstate_directory = "${state}"\n[storage]\nscratch_directory = "${scratch}"`,
    "f",
  );
  await makeStateDirectories(config);
  for (const path of [scratch, ...["sandboxes", "vm", "journals"].map((name) => join(state, name))])
    expect((await stat(path)).mode & 0o7777).toBe(0o700);
});

it.each([0o777, 0o1777, 0o722])("a state directory with mode %o is refused by its key", async (mode) => {
  const state = await temporaryDirectory();
  await chmod(state, mode);
  const config = parseConfig(`[daemon]\nstate_directory = "${state}"`, "f");
  await expect(makeStateDirectories(config)).rejects.toMatchObject({
    code: "HostResource",
    message: expect.stringMatching(/others may write to it.*daemon\.state_directory/s),
  });
});

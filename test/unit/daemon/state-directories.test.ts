/** The directories of a daemon: nobody else looks into them, and one that others may write to is refused. */
import { chmod, mkdir, stat, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { expect, it } from "vitest";
import { parseConfig } from "../../../src/daemon/config/load.ts";
import { makeStateDirectories } from "../../../src/daemon/state-directories.ts";
import { temporaryDirectory } from "../../support/temporary-directory.ts";

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

/** The directories of a daemon that cannot be made. */
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { expect, it } from "vitest";
import { parseConfig } from "../../../src/daemon/config/load.ts";
import { makeStateDirectories } from "../../../src/daemon/core.ts";
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

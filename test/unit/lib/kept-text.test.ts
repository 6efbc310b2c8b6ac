import { rename, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { expect, it } from "vitest";
import { keptText } from "../../../src/lib/kept-text.ts";
import { temporaryDirectory } from "../../support/temporary-directory.ts";

it("tells a host's file as it is now, also when another one has taken its place or it is gone", async () => {
  const directory = await temporaryDirectory();
  const file = join(directory, "resolv.conf");
  const text = keptText(file);
  expect(await text()).toBe("");
  await writeFile(file, "nameserver 10.0.0.1\n");
  expect(await text()).toBe("nameserver 10.0.0.1\n");
  expect(await text()).toBe("nameserver 10.0.0.1\n");
  await writeFile(join(directory, "new"), "nameserver 10.0.0.2\n");
  await rename(join(directory, "new"), file);
  expect(await text()).toBe("nameserver 10.0.0.2\n");
  await rm(file);
  expect(await text()).toBe("");
});

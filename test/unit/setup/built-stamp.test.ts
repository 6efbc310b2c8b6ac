/** When a bundle is made again, and when it is not. */
import { mkdir, rm, symlink, utimes, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { beforeEach, describe, expect, it } from "vitest";
import { isBuilt, noteBuilt, sourcesStamp } from "../../../setup/lib/built-stamp.ts";
import { temporaryDirectory } from "../../support/temporary-directory.ts";

let places: string[];
let dist: string;
let output: string;
const stamp = (more = "1.0") => sourcesStamp(places, more);

beforeEach(async () => {
  const root = await temporaryDirectory();
  places = [join(root, "src"), join(root, "package.json")];
  dist = join(root, "dist");
  output = join(dist, "page", "index.html");
  await mkdir(join(root, "src", "lib"), { recursive: true });
  await writeFile(join(root, "src", "lib", "a.ts"), "a");
  await writeFile(join(root, "package.json"), "{}");
  await mkdir(join(dist, "page"), { recursive: true });
  await writeFile(output, "");
  await noteBuilt(dist, await stamp(), [output]);
});

describe("a bundle", () => {
  it("is up to date while its sources are what they were", async () => {
    expect(await isBuilt(dist, await stamp())).toBe(true);
  });

  it.each([
    ["a source has changed", () => utimes(join(places[0] ?? "", "lib", "a.ts"), 1, 1)],
    ["a source is new", () => writeFile(join(places[0] ?? "", "b.ts"), "b")],
    ["a source is gone", () => rm(join(places[0] ?? "", "lib", "a.ts"))],
    ["one of its files is gone", () => rm(output)],
    ["nobody has said what it is of", () => rm(join(dist, ".built.json"))],
  ])("is made again if %s", async (_, change) => {
    await change();
    expect(await isBuilt(dist, await stamp())).toBe(false);
  });

  it("is made again for another version", async () => {
    expect(await isBuilt(dist, await stamp("1.1"))).toBe(false);
  });

  it("is not kept from being made by an editor's lock, which is a link to nowhere", async () => {
    await symlink("user@host.123", join(places[0] ?? "", ".#a.ts"));
    expect(await isBuilt(dist, await stamp())).toBe(true);
  });
});

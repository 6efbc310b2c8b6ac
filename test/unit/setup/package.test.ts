/** The pieces of a package; the whole is tried by `npm run test:package`. */
import { readFile, stat, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { parse } from "smol-toml";
import { describe, expect, it } from "vitest";
import { installLines, steps } from "../../../lab/package/scenario.ts";
import { repoRoot } from "../../../setup/lib/paths.ts";
import { productVersion } from "../../../setup/lib/version.ts";
import { controlFile } from "../../../setup/package/deb.ts";
import { exampleConfiguration } from "../../../setup/package/example-configuration.ts";
import { commandPage, configurationPage, roff } from "../../../setup/package/man-pages.ts";
import { packedLayer } from "../../../setup/package/packed-layer.ts";
import { readRelease } from "../../../setup/package/release.ts";
import { stage } from "../../../setup/package/stage.ts";
import { parseConfig } from "../../../src/daemon/config/load.ts";
import { CONFIG_SCHEMA } from "../../../src/daemon/config/schema.ts";
import { copyEmptyImage } from "../../../src/workers/images/disk-image.ts";
import { temporaryDirectory } from "../../support/temporary-directory.ts";

const RELEASE = { version: "1.2.3", epoch: 1_700_000_000 };

describe("the empty layer of a package", () => {
  it("has no holes, and its copies are those of the sparse one", async () => {
    const directory = await temporaryDirectory();
    const at = (name: string) => join(directory, name);
    const sparse = Buffer.alloc(10_000);
    sparse.write("beginning");
    sparse.write("middle", 5000);
    await writeFile(at("image"), sparse);
    await writeFile(
      at("extents"),
      JSON.stringify({
        size: 20_000,
        extents: [
          [0, 9],
          [5000, 6],
        ],
        reserved: 0,
      }),
    );
    const packed = await packedLayer({ image: at("image"), extents: at("extents") });
    expect(packed.image.toString()).toBe("beginningmiddle");
    await writeFile(at("packed"), packed.image);
    await writeFile(at("packed-extents"), packed.extents);
    copyEmptyImage({ image: at("image"), extents: at("extents") }, at("copy"), undefined);
    copyEmptyImage({ image: at("packed"), extents: at("packed-extents") }, at("packed-copy"), undefined);
    expect(await readFile(at("packed-copy"))).toEqual(await readFile(at("copy")));
  });

  it("that is too short is an error, and no layer", async () => {
    const directory = await temporaryDirectory();
    const at = (name: string) => join(directory, name);
    await writeFile(at("image"), "short");
    await writeFile(at("extents"), JSON.stringify({ size: 8192, extents: [[4096, 9]], packed: true }));
    const copy = () => copyEmptyImage({ image: at("image"), extents: at("extents") }, at("copy"), undefined);
    expect(copy).toThrow(/shorter than its list/);
  });
});

describe("the example of a configuration", () => {
  it("has every key, and says nothing but the defaults", () => {
    const example = exampleConfiguration();
    expect(parseConfig(example, "example")).toEqual(parseConfig("", "none"));
    const given = example.replace(/^#(\w+ = .+)$/gm, "$1");
    expect(parseConfig(given, "example")).toEqual(parseConfig("", "none"));
    for (const [section, keys] of Object.entries(CONFIG_SCHEMA)) {
      expect(parse(example)).toHaveProperty(section);
      for (const key of Object.keys(keys)) expect(example).toMatch(new RegExp(`^#${key} =`, "m"));
    }
  });
});

describe("man pages", () => {
  it("have every command and every key", () => {
    const page = commandPage(RELEASE);
    for (const name of ["serve", "install", "drain", "template build"])
      expect(page).toContain(`.SS blazar ${name}`);
    expect(page).toContain('.TH BLAZAR 8 "2023-11-14" "Blazar 1.2.3"');
    expect(page).not.toContain("__complete");
    expect(configurationPage(RELEASE)).toContain(".B kvmProbe (milliseconds)");
  });

  it("take a text as it is, whatever roff would make of it", () => {
    expect(roff(".so /etc/passwd\n'x \\n -a")).toBe("\\&.so /etc/passwd\n\\&'x \\en \\-a");
  });
});

describe("a release", () => {
  it("is of the time that is set, and of a version that Debian takes", async () => {
    expect((await readRelease("0.2.0~rc1")).version).toBe("0.2.0~rc1");
    await expect(readRelease("1.0-1; rm -rf")).rejects.toThrow(/is not a version/);
  });

  it("gives all of its files one time, and no mode of the builder's", async () => {
    const directory = join(await temporaryDirectory(), "tree");
    await stage(directory, [{ path: "usr/bin/program", content: "x", mode: 0o755 }], RELEASE.epoch);
    for (const [name, mode] of Object.entries({ "": 0o755, "usr/bin": 0o755, "usr/bin/program": 0o755 })) {
      const found = await stat(join(directory, name));
      expect([name, found.mtimeMs / 1000, found.mode & 0o777]).toEqual([name, RELEASE.epoch, mode]);
    }
  });

  it("needs a Node and a QEMU that were tried, and leaves containerd to the node", () => {
    const control = controlFile(RELEASE, 2049);
    expect(control).toContain("Depends: nodejs (>= 20), qemu-system-x86 (>= 1:7.2)\n");
    expect(control).toMatch(/^Recommends: containerd \(>= 2\.1~\) \| containerd\.io/m);
    expect(control).toContain("Installed-Size: 3\n");
  });
});

it("The page of the installation has ten lines, of this version; each is a step of the test", async () => {
  const lines = installLines(await readFile(join(repoRoot(), "docs", "install.md"), "utf8"));
  expect(lines).toHaveLength(10);
  expect(lines.join("\n")).toContain(`./blazar_${productVersion()}_amd64.deb`);
  const material = { deb: "", newerDeb: "", newerVersion: "", tarball: "", crictl: "", image: "" };
  const run = steps(lines, material).map(({ script }) => script);
  for (const line of lines) expect(run.some((script) => script.includes(line))).toBe(true);
});

/** `blazar install`, on files of its own; what a package does with it is in test/package. */
import { mkdir, readFile, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { parse } from "smol-toml";
import { describe, expect, it } from "vitest";
import { repoRoot } from "../../../../setup/lib/paths.ts";
import { parseConfig } from "../../../../src/daemon/config/load.ts";
import { NODE_HOST } from "../../../../src/standalone/doctor/node-host.ts";
import { dropIn } from "../../../../src/standalone/install/drop-in.ts";
import { installDropIn } from "../../../../src/standalone/install/install.ts";
import { temporaryDirectory } from "../../../support/temporary-directory.ts";

/** What Debian's package containerd 2.1 brings. */
const DEBIAN = `version = 2

[plugins]
  [plugins."io.containerd.grpc.v1.cri"]
    [plugins."io.containerd.grpc.v1.cri".cni]
      bin_dir = "/usr/lib/cni"
`;

async function installed(main: string | undefined, config = "") {
  const file = join(await temporaryDirectory(), "containerd", "config.toml");
  await mkdir(dirname(file));
  if (main !== undefined) await writeFile(file, main);
  const run = () => installDropIn(NODE_HOST, parseConfig(config, "test"), file);
  return { file, run, result: await run() };
}

describe("the drop-in", () => {
  it("says what deploy/containerd.toml says, but for the snapshotter", async () => {
    const text = await readFile(join(repoRoot(), "deploy", "containerd.toml"), "utf8");
    const { plugins, ...rest } = parse(text) as { plugins: Record<string, unknown> };
    const { "io.containerd.cri.v1.images": _, ...kept } = plugins;
    const shim = "/usr/bin/containerd-shim-blazar-v1";
    const made = dropIn({ version: 3, socket: "/run/blazar/blazar.sock", sandboxer: "blazar", shim });
    expect(parse(made)).toEqual({ ...rest, plugins: kept });
  });

  it("is of the version of the file that imports it, and names the configured socket and sandboxer", async () => {
    const config = '[daemon]\nstate_directory = "/run/other"\nsandboxer = "an other"';
    const { result } = await installed(DEBIAN, config);
    expect(parse(await readFile(result.file, "utf8"))).toMatchObject({
      version: 2,
      proxy_plugins: { "an other": { address: "/run/other/blazar.sock" } },
      plugins: {
        "io.containerd.grpc.v1.cri": { containerd: { runtimes: { blazar: { sandboxer: "an other" } } } },
      },
    });
  });
});

describe("what is left to do", () => {
  it("are two lines where nothing is imported, and none when both are done", async () => {
    const { file, result, run } = await installed(DEBIAN);
    const pattern = join(dirname(file), "conf.d", "*.toml");
    expect(result).toMatchObject({
      changed: true,
      left: [`sed -i '1i imports = ["${pattern}"]' ${file}`, "systemctl restart containerd"],
    });
    await writeFile(file, `imports = ["${pattern}"]\n${DEBIAN}`);
    expect(await run()).toEqual({ file: result.file, changed: false, left: [] });
  });

  it("is a restart where the drop-in is imported already", async () => {
    const { result } = await installed("version = 3\nimports = ['conf.d/*.toml']");
    expect(result).toMatchObject({ changed: true, left: ["systemctl restart containerd"] });
    expect(await readFile(result.file, "utf8")).toContain("version = 3");
  });

  it("does not put a second `imports` into a file, which would be no TOML", async () => {
    const { file, result } = await installed("version = 3\nimports = ['/srv/*.toml']");
    expect(result.left[0]).toBe(`add "${join(dirname(file), "conf.d", "*.toml")}" to imports in ${file}`);
  });

  it("makes the file where containerd has none", async () => {
    const { file, result } = await installed(undefined);
    expect(result.left[0]).toMatch(new RegExp(`^printf 'version = 3.*> ${file}$`));
  });

  it("is an error where containerd's configuration is not what it should be; nothing is written", async () => {
    await expect(installed("version = ")).rejects.toMatchObject({ code: "InvalidConfig" });
    await expect(installed("[plugins]")).rejects.toThrow(/of version 1/);
  });
});

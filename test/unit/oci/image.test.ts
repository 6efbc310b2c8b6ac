import { execFileSync } from "node:child_process";
import { mkdirSync, readFileSync, statSync, writeFileSync } from "node:fs";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import fc from "fast-check";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { buildImage, type ImageSpec } from "../../../lab/images/image-builder.ts";
import { type TarFile, writeTar } from "../../../lab/images/tar-writer.ts";
import { BlazarError } from "../../../src/contracts/errors.ts";
import { commandOf, readImageConfig } from "../../../src/oci/image.ts";
import { awkwardLayer } from "../../support/oci-image.ts";

let base: string;
beforeEach(async () => {
  base = await mkdtemp(path.join(tmpdir(), "blazar-image-"));
});
afterEach(() => rm(base, { recursive: true }));

const PROCESS = {
  Env: ["PATH=/bin", "LANG=C"],
  Entrypoint: ["/bin/entry"],
  Cmd: ["serve", "--all"],
  WorkingDir: "/srv",
  User: "1000:1000",
};
const IMAGE: ImageSpec = {
  name: "docker.io/library/x:1",
  layers: [[{ path: "a", content: "a" }]],
  process: PROCESS,
};
const CONFIG = {
  env: PROCESS.Env,
  entrypoint: PROCESS.Entrypoint,
  cmd: PROCESS.Cmd,
  workingDir: "/srv",
  user: "1000:1000",
};

function file(content: Uint8Array | string): string {
  const name = path.join(base, "image.tar");
  writeFileSync(name, content);
  return name;
}

function json(value: unknown): string {
  return JSON.stringify(value);
}

describe("an image's configuration", () => {
  test("is read from an OCI layout", async () => {
    expect(await readImageConfig(file(buildImage(IMAGE)))).toEqual(CONFIG);
    expect(await readImageConfig(file(buildImage({ ...IMAGE, gzip: true })))).toEqual(CONFIG);
  });

  test("is read from a layout that tar itself has packed, with ./ before each name", async () => {
    const packed = file(buildImage(IMAGE));
    mkdirSync(path.join(base, "layout"));
    execFileSync("tar", ["-xf", packed, "-C", path.join(base, "layout")]);
    for (const format of ["gnu", "pax", "ustar"]) {
      execFileSync("tar", ["-cf", packed, `--format=${format}`, "-C", path.join(base, "layout"), "."]);
      expect(await readImageConfig(packed)).toEqual(CONFIG);
    }
  });

  test("is read from docker save, through links", async () => {
    const files: TarFile[] = [
      { path: `${"d".repeat(120)}/config.json`, content: json({ config: PROCESS }) },
      { path: "config.json", type: "symlink", target: `${"d".repeat(120)}/config.json` },
      { path: "manifest.json", content: json([{ Config: "config.json", Layers: [], RepoTags: null }]) },
    ];
    expect(await readImageConfig(file(writeTar(files)))).toEqual(CONFIG);
  });

  test("is that of this host's architecture where there are several", async () => {
    const own = process.arch === "arm64" ? "arm64" : "amd64";
    const manifest = (name: string) => json({ config: { digest: `sha256:${name}` }, layers: [] });
    const files: TarFile[] = [
      {
        path: "index.json",
        content: json({ manifests: [{ digest: "sha256:aa", mediaType: "an index" }] }),
      },
      {
        path: "blobs/sha256/aa",
        content: json({
          manifests: [
            { digest: "sha256:b1", platform: { os: "linux", architecture: "s390x" } },
            { digest: "sha256:b2", platform: { os: "linux", architecture: own } },
          ],
        }),
      },
      { path: "blobs/sha256/b1", content: manifest("c1") },
      { path: "blobs/sha256/b2", content: manifest("c2") },
      { path: "blobs/sha256/c2", content: json({ config: { Cmd: ["right"] } }) },
    ];
    expect((await readImageConfig(file(writeTar(files)))).cmd).toEqual(["right"]);
  });

  test("may be empty", async () => {
    const { process: _, ...bare } = IMAGE;
    const empty = { env: [], entrypoint: [], cmd: [], workingDir: "", user: "" };
    expect(await readImageConfig(file(buildImage(bare)))).toEqual(empty);
  });

  test("and the user's arguments make the command", () => {
    expect(commandOf(CONFIG, [])).toEqual(["/bin/entry", "serve", "--all"]);
    expect(commandOf(CONFIG, ["once"])).toEqual(["/bin/entry", "once"]);
  });
});

describe("a bad image", () => {
  const deep = (depth: number): TarFile[] =>
    Array.from({ length: depth }, (_, index) => ({
      path: index === 0 ? "index.json" : `blobs/sha256/${index}`,
      content: json({ manifests: [{ digest: `sha256:${index + 1}` }] }),
    }));

  test.each<[string, () => Uint8Array | string, string]>([
    ["that is no tar", () => "x".repeat(2000), "not a tar file"],
    ["that is compressed", () => execFileSync("gzip", ["-c"], { input: buildImage(IMAGE) }), "checksum"],
    ["that is cut off", () => buildImage(IMAGE).subarray(0, 530), "cut off"],
    ["that is empty", () => "", "neither an index.json"],
    ["of another kind", () => writeTar([{ path: "etc/passwd", content: "" }]), "neither an index.json"],
    ["with broken JSON", () => writeTar([{ path: "index.json", content: "{" }]), "index.json is not JSON"],
    ["with JSON of the wrong shape", () => writeTar([{ path: "index.json", content: "[]" }]), "index.json"],
    ["without the blob it names", () => writeTar(deep(1)), "has no blobs/sha256/1"],
    ["of nothing but indexes", () => writeTar(deep(8)), "nested too deeply"],
    [
      "with a digest that is a path",
      () => writeTar([{ path: "index.json", content: json({ manifests: [{ digest: "../../etc" }] }) }]),
      "not a digest",
    ],
    [
      "whose links go in a circle",
      () => writeTar([{ path: "index.json", type: "symlink", target: "index.json" }]),
      "is a link to a link",
    ],
    [
      "whose manifest is huge",
      () => writeTar([{ path: "index.json", content: " ".repeat((4 << 20) + 1) }]),
      "takes 4194305 bytes",
    ],
  ])("%s is refused, and the message says so", async (_, content, message) => {
    const error = await readImageConfig(file(content())).catch((thrown: unknown) => thrown);
    expect(error).toMatchObject({ code: "InvalidRootfs" });
    expect(String(error)).toContain(message);
  });

  test("that is not there is refused by name", async () => {
    await expect(readImageConfig(path.join(base, "none.tar"))).rejects.toThrow("none.tar");
  });

  test("with any bytes changed is read or refused", async () => {
    const good = buildImage(IMAGE);
    const change = fc.tuple(fc.nat(good.length - 1), fc.nat(255));
    await fc.assert(
      fc.asyncProperty(fc.array(change, { minLength: 1, maxLength: 20 }), async (changes) => {
        const bad = Buffer.from(good);
        for (const [at, byte] of changes) bad[at] = byte;
        const result = await readImageConfig(file(bad)).catch((thrown: unknown) => thrown);
        if (result instanceof Error) expect(result).toBeInstanceOf(BlazarError);
      }),
      { numRuns: 200 },
    );
  });
});

describe("the builder's tar", () => {
  test("is what tar makes of it: names, modes, links, owners", () => {
    const archive = file(writeTar(awkwardLayer()));
    const listing = execFileSync("tar", ["--numeric-owner", "-tvf", archive], { encoding: "utf8" });
    expect(listing).toMatch(/^drwxr-x--- 1234\/5678 .* owned\/?$/m);
    expect(listing).toMatch(/^-rwsr-xr-x 0\/0 .* owned\/setuid$/m);
    expect(listing).toMatch(/^lrw.* owned\/link -> theirs$/m);
    expect(listing).toMatch(/^hrw.* owned\/hard link to owned\/theirs$/m);
    expect(listing).toContain(`owned/${"long-name-".repeat(15)}`);
    execFileSync("tar", ["-xf", archive, "--no-same-owner", "-C", base]);
    expect(readFileSync(path.join(base, "owned/hard"), "utf8")).toBe("theirs\n");
    expect(statSync(path.join(base, "owned/hard")).nlink).toBe(2);
  });
});

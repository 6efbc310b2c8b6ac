/** Which layers an image archive has, whoever wrote it. */
import { describe, expect, it } from "vitest";
import { type ArchiveIndex, findLayers } from "../../../guest/agent/image/oci-archive.ts";

/** An archive of JSON members and empty blobs; a member's offset is its place in the list. */
function archive(members: Record<string, unknown>): ArchiveIndex {
  const names = Object.keys(members);
  return {
    find: (name) => (names.includes(name) ? { offset: names.indexOf(name), size: 1 } : undefined),
    readText: ({ offset }) => {
      const value = members[names[offset] ?? ""];
      return typeof value === "string" ? value : JSON.stringify(value);
    },
  };
}

const descriptor = (hex: string, more: object = {}): object => ({ digest: `sha256:${hex}`, ...more });

describe("an image archive's layers", () => {
  it("come from an OCI layout", () => {
    const layers = findLayers(
      archive({
        "index.json": { manifests: [descriptor("aa")] },
        "blobs/sha256/aa": { layers: [descriptor("b1"), descriptor("b2")] },
        "blobs/sha256/b1": "",
        "blobs/sha256/b2": "",
      }),
    );
    expect(layers.map((layer) => layer.offset)).toEqual([2, 3]);
  });

  it("are those of this platform, through an index of indexes", () => {
    const platform = (architecture: string): object => ({ platform: { os: "linux", architecture } });
    const layers = findLayers(
      archive({
        "index.json": { manifests: [descriptor("11")] },
        "blobs/sha256/11": {
          manifests: [descriptor("22", platform("arm64")), descriptor("33", platform("amd64"))],
        },
        "blobs/sha256/33": { layers: [descriptor("44")] },
        "blobs/sha256/44": "",
      }),
    );
    expect(layers.map((layer) => layer.offset)).toEqual([3]);
  });

  it("come from what `docker save` writes", () => {
    const layers = findLayers(
      archive({
        "manifest.json": [{ Layers: ["x/layer.tar", "y/layer.tar"] }],
        "x/layer.tar": "",
        "y/layer.tar": "",
      }),
    );
    expect(layers.map((layer) => layer.offset)).toEqual([1, 2]);
  });

  it.each([
    ["neither form", {}],
    ["no JSON", { "index.json": "{" }],
    ["a missing manifest", { "index.json": { manifests: [descriptor("aa")] } }],
    ["a missing layer", { "manifest.json": [{ Layers: ["gone"] }] }],
    [
      "an index in a circle",
      {
        "index.json": { manifests: [descriptor("aa")] },
        "blobs/sha256/aa": { manifests: [descriptor("aa")] },
      },
    ],
    ["a digest that is a path", { "index.json": { manifests: [{ digest: "sha256:../../x" }] } }],
    [
      "another platform only",
      {
        "index.json": { manifests: [descriptor("aa", { platform: { os: "plan9", architecture: "amd64" } })] },
      },
    ],
  ])("cannot be found with %s", (_, members) => {
    expect(() => findLayers(archive(members))).toThrow(expect.objectContaining({ code: "InvalidRootfs" }));
  });
});

/** The chain of an OCI image is found by the labels of its blobs, whatever lies between its name and its layers. */
import { describe, expect, it } from "vitest";
import { blazarError } from "../../../../src/contracts/errors.ts";
import type { ContainerdConnection } from "../../../../src/rpc/containerd/connection.ts";
import { chainOfImage, listChains } from "../../../../src/rpc/containerd/image-chains.ts";

type Connection = Pick<ContainerdConnection, "call" | "collect">;
const SNAPSHOT = "containerd.io/gc.ref.snapshot.overlayfs";

/** A content store: the labels of each blob. The image `i` leads to `index`. */
function store(blobs: Record<string, Record<string, string>>) {
  const asked: string[] = [];
  const call = async (_method: unknown, request: { readonly name?: string; readonly digest?: string }) => {
    if (request.name !== undefined) return { image: { name: "i", target: { digest: "index" } } };
    const digest = request.digest ?? "";
    asked.push(digest);
    const labels = blobs[digest];
    if (labels === undefined) throw blazarError("RemoteNotFound", "call containerd", "no such blob");
    return { info: { digest, updatedAt: undefined, labels } };
  };
  const collect = async () => [
    {
      info: Object.entries(blobs)
        .filter(([, labels]) => SNAPSHOT in labels)
        .map(([digest, labels], place) => ({
          digest,
          updatedAt: { seconds: BigInt(100 - place), nanos: 5_999_999 },
          labels,
        })),
    },
  ];
  return { connection: { call, collect } as unknown as Connection, asked };
}

const find = (connection: Connection) => chainOfImage(connection, "i", "overlayfs", undefined);

describe("the chain of an OCI image", () => {
  it("is the one of the platform that is unpacked, and no layer is looked at", async () => {
    const { connection, asked } = store({
      index: { "containerd.io/gc.ref.content.m.0": "absent", "containerd.io/gc.ref.content.m.1": "amd64" },
      amd64: { "containerd.io/gc.ref.content.config": "config", "containerd.io/gc.ref.content.l.0": "layer" },
      config: { [SNAPSHOT]: "sha256:top", "containerd.io/gc.ref.snapshot.native": "sha256:other" },
      layer: {},
    });
    expect(await find(connection)).toEqual({ snapshotter: "overlayfs", name: "sha256:top" });
    expect(asked).toEqual(["index", "absent", "amd64", "config"]);
  });

  it("is none where nothing is unpacked, even if blobs refer to each other for ever", async () => {
    const label = "containerd.io/gc.ref.content.m.0";
    const { connection, asked } = store({ index: { [label]: "a" }, a: { [label]: "index" } });
    await expect(find(connection)).rejects.toMatchObject({ code: "RemoteFailedPrecondition" });
    expect(asked).toEqual(["index", "a"]);
  });

  it("is listed once for several images, with the latest time, and not at all without layers", async () => {
    const { connection } = store({
      b: { [SNAPSHOT]: "sha256:top" },
      a: { [SNAPSHOT]: "sha256:top" },
      scratch: { [SNAPSHOT]: "" },
    });
    expect(await listChains(connection, "overlayfs", undefined)).toEqual([
      { snapshotter: "overlayfs", name: "sha256:top", unpackedAt: new Date(100_005) },
    ]);
  });
});

/**
 * The RootfsStore of a standalone run: a directory or an image archive that is shared, and a private disk for writes.
 *
 * Nothing is mounted on the host, so no privilege is needed: the guest overlays the directory or unpacks the archive.
 * Must not write into what is shared.
 */
import { constants } from "node:fs";
import { access, copyFile, link, mkdir, rm, stat } from "node:fs/promises";
import { dirname, join, resolve } from "node:path";
import { BlazarError, blazarError } from "../contracts/errors.ts";
import type { LayerImages, RootfsPlan, RootfsRequest, RootfsStore } from "../contracts/storage.ts";

/** Where the root comes from; `builtin` is the busybox in the guest's initramfs. */
export type RootSource =
  | { readonly kind: "builtin" }
  | { readonly kind: "directory"; readonly path: string }
  | { readonly kind: "archive"; readonly path: string };

/** The name of an archive in its share. */
const ARCHIVE = "image.tar";

/** What is shared with the guest for a source. */
export interface Share {
  /** Undefined: nothing is shared. */
  readonly directory: string | undefined;
  /** The root, in the words of the request to the guest. */
  readonly guest: Pick<RootfsPlan["guest"], "kind" | "path">;
}

/**
 * Checks the source, and makes a directory to share below `directory` if there is none yet.
 * @throws BlazarError `InvalidRootfs`
 */
export async function prepareShare(source: RootSource, directory: string): Promise<Share> {
  if (source.kind === "builtin") return { directory: undefined, guest: { kind: "builtin", path: "" } };
  const path = resolve(source.path);
  await check(path, source.kind);
  if (source.kind === "directory") return { directory: path, guest: { kind: "layers", path: "" } };
  // the guest sees the whole share: in a directory of its own, the archive has no neighbours
  const share = join(directory, "image");
  await mkdir(share, { mode: 0o755 });
  const shared = join(share, ARCHIVE);
  await link(path, shared).catch(() => copyFile(path, shared, constants.COPYFILE_FICLONE));
  return { directory: share, guest: { kind: "archive", path: ARCHIVE } };
}

async function check(path: string, kind: "directory" | "archive"): Promise<void> {
  const operation = kind === "directory" ? "share the root directory" : "read the image archive";
  const wrong = (reason: string, cause?: unknown) =>
    blazarError("InvalidRootfs", operation, reason, { subject: path, cause });
  const found = await stat(path).catch((error: unknown) => {
    const missing = (error as NodeJS.ErrnoException).code === "ENOENT";
    throw wrong(missing ? "it is not there" : String(error), error);
  });
  if (kind === "directory" && !found.isDirectory()) throw wrong("it is not a directory");
  if (kind === "archive" && !found.isFile()) throw wrong("it is not a file");
  const mode = kind === "directory" ? constants.R_OK | constants.X_OK : constants.R_OK;
  await access(path, mode).catch((error: unknown) => {
    throw wrong("it may not be read", error);
  });
}

/** Makes one container's root, with its writable layer in the run's own directory. */
export class StandaloneRootfsStore implements RootfsStore {
  private readonly guest: Share["guest"];
  private readonly layers: LayerImages;

  constructor(options: { readonly guest: Share["guest"]; readonly layers: LayerImages }) {
    this.guest = options.guest;
    this.layers = options.layers;
  }

  plan({ containerId, scratchDirectory, owner }: RootfsRequest): Promise<RootfsPlan> {
    const directory = join(scratchDirectory, containerId);
    return Promise.resolve({
      containerId,
      lower: undefined,
      disk: { path: join(directory, "layer.ext4"), filesystem: "ext4", owned: true, readonly: false },
      guest: { ...this.guest, readonly: false },
      owner,
    });
  }

  async apply(plan: RootfsPlan): Promise<void> {
    try {
      await mkdir(dirname(plan.disk.path), { mode: 0o700 });
      await this.layers.make(plan.disk.path, plan.owner);
    } catch (error) {
      await this.release(plan);
      throw BlazarError.wrap(error, "StorageFailed", {
        operation: "make the writable layer",
        subject: plan.disk.path,
        remedy: "check that the temporary directory has room (TMPDIR names another one)",
      });
    }
  }

  async release(plan: RootfsPlan): Promise<void> {
    await rm(dirname(plan.disk.path), { recursive: true, force: true });
  }
}

/**
 * Mounts a container's root: an image, layers of the share, the built-in root, a disk, or an unpacked archive.
 *
 * It is mounted in the agent's mount namespace, so that the agent can unmount it when the container is deleted. A disk can
 * be a root by itself. Every other root is an overlay (kernel: filesystems/overlayfs), whose upper directory lies on the
 * container's disk or, without one, on a tmpfs.
 */
import * as sys from "sys";
import { check, failure } from "../../../native/runtime/check.ts";
import { makeDirectories } from "../../../native/runtime/files.ts";
import { BlazarError, blazarError, reasonOf } from "../../../src/contracts/errors.ts";
import type { GuestRootfs } from "../../../src/protocol/guest/messages.ts";
import type { AgentContext } from "../context.ts";
import { BUILTIN_ROOT, CONTAINERS, SHARE } from "../guest-paths.ts";
import { unpackImage } from "../image/unpack-image.ts";
import { checkedOptionPath, checkedSharePath } from "../path-checks.ts";
import { fileMountPointsFit, removeFileMountPoints } from "../prepared/file-mount-points.ts";
import { LAYER_DIRECTORIES, type PreparedDisk } from "../prepared/prepared-disks.ts";
import { UndoList } from "../undo-list.ts";
import { diskReleased, findDisk, mountDisk } from "./disks.ts";
import { boundLayer, FreeSpace } from "./layer-space.ts";
import { withMappedLayers } from "./mapped-layers.ts";

/** Beside the directories that overlayfs needs. */
const OWN_VOLUMES = "volumes";
/** With set-uid, set-gid and sticky. */
const PERMISSIONS = 0o7777;

export interface MountedRoot {
  /** The mount point that becomes the container's "/". */
  readonly path: string;
  /** Where on its disk the container's own volumes are; "" = the disk is the root. */
  readonly ownVolumes: string;
  /** Unmounts everything. Afterwards the disk is free. */
  release(): Promise<void>;
}

export interface RootRequest {
  readonly id: string;
  readonly rootfs: GuestRootfs;
  /** What its writable layer may take; undefined = as much as its disk has. */
  readonly layerBytes: number | undefined;
  /** Destinations in it that the sandbox's files are mounted at. */
  readonly covered: ReadonlySet<string>;
  /** Descriptor of the user namespace that the layers' ids are mapped by; undefined = they stay as they are. */
  readonly userNamespace: number | undefined;
}

/** Mounts a root. Throws, leaving nothing. */
export async function mountRoot(context: AgentContext, request: RootRequest): Promise<MountedRoot> {
  const undo = new UndoList(context.logger.child({ container: request.id }));
  try {
    return await mount(context, request, undo);
  } catch (error) {
    await undo.run();
    throw error;
  }
}

async function mount(
  context: AgentContext,
  { id, rootfs, layerBytes, covered, userNamespace }: RootRequest,
  undo: UndoList,
): Promise<MountedRoot> {
  const directory = `${CONTAINERS}/${id}`;
  const root = `${directory}/root`;
  let ownVolumes = "";
  for (const path of [directory, root]) {
    makeDirectories(path);
    undo.add(`remove ${path}`, () => void sys.rmdir(path));
  }
  if (rootfs.kind === "disk") {
    if (await claimDisk(context, rootfs, undo)) throw preparedRoot(rootfs);
    const device = await attachDisk(context, rootfs, root, undo);
    if (!rootfs.readonly) giveBackFreeSpace(context, device, root, undo);
  } else {
    const place = `${directory}/layer`;
    const { device, path: layer, mountPoints } = await writableLayer(context, rootfs, place, undo);
    if (device !== undefined) {
      if (layerBytes !== undefined) boundLayer(device, layer, layerBytes);
      giveBackFreeSpace(context, device, layer, undo);
    }
    await blamingTheImage(rootfs, async () => {
      const lower = await lowerDirectories(context, rootfs, layer, undo);
      // they belong to the guest's own root, which is nobody in a user namespace
      if (mountPoints && (userNamespace !== undefined || !fileMountPointsFit(lower, covered)))
        removeFileMountPoints(`${layer}/upper`);
      if (userNamespace === undefined) mountOverlay(layer, lower, root);
      else
        withMappedLayers(lower, `${directory}/lower`, userNamespace, (mapped) =>
          mountOverlay(layer, mapped, root),
        );
    });
    undo.add("unmount the root", () => unmount(root));
    ownVolumes = `${layer}/${OWN_VOLUMES}`;
  }
  return { path: root, ownVolumes, release: () => undo.run() };
}

/** A failure where the layers are an image's is ImageBroken: the host can then give the layers in another way. */
async function blamingTheImage(
  { kind, imageSerials }: GuestRootfs,
  mounting: () => Promise<void>,
): Promise<void> {
  try {
    await mounting();
  } catch (error) {
    if (kind !== "image" || !(error instanceof BlazarError)) throw error;
    const subject = imageSerials.join(", ");
    throw blazarError("ImageBroken", "use an image", reasonOf(error), { subject, cause: error });
  }
}

function giveBackFreeSpace({ loop }: AgentContext, device: string, path: string, undo: UndoList): void {
  const space = new FreeSpace(loop, device, path);
  undo.add("stop giving space back", () => space.stop());
}

/** Where a container writes to; without a device it is a tmpfs. */
type WritableLayer = Pick<PreparedDisk, "path" | "mountPoints"> & { readonly device: string | undefined };

/** Mounts the container's writable layer, unless it is prepared. */
async function writableLayer(
  context: AgentContext,
  rootfs: GuestRootfs,
  place: string,
  undo: UndoList,
): Promise<WritableLayer> {
  const prepared = rootfs.diskSerial === "" ? undefined : await claimDisk(context, rootfs, undo);
  if (prepared !== undefined) return prepared;
  makeDirectories(place);
  undo.add(`remove ${place}`, () => void sys.rmdir(place));
  let device: string | undefined;
  if (rootfs.diskSerial === "") attachMemory(place, undo);
  else device = await attachDisk(context, rootfs, place, undo);
  return { device, path: place, mountPoints: false };
}

/** Gives the disk to this container. A prepared disk is unmounted with the container's root. */
async function claimDisk(
  context: AgentContext,
  { diskSerial }: GuestRootfs,
  undo: UndoList,
): Promise<PreparedDisk | undefined> {
  const prepared = await context.disks.claim(diskSerial);
  undo.add("release the disk", () => context.disks.release(diskSerial));
  if (prepared === undefined) return undefined;
  const { device, path } = prepared;
  undo.add(`remove ${path}`, () => void sys.rmdir(path));
  undo.add("unmount the disk", () => unmountDisk(context, device, path));
  return prepared;
}

function preparedRoot({ diskSerial }: GuestRootfs): BlazarError {
  const reason = "the disk was prepared as a writable layer";
  return blazarError("InvalidRootfs", "mount a disk as a root", reason, { subject: diskSerial });
}

async function unmountDisk(context: AgentContext, device: string, target: string): Promise<void> {
  unmount(target);
  if (!(await diskReleased(context.loop, device))) {
    context.logger.warn("a disk is still in use after the end of its container", { device });
  }
}

async function attachDisk(
  context: AgentContext,
  rootfs: GuestRootfs,
  target: string,
  undo: UndoList,
): Promise<string> {
  await context.disksReady;
  const device = await findDisk(context.loop, rootfs.diskSerial);
  mountDisk(device, target, rootfs.filesystem);
  undo.add("unmount the disk", () => unmountDisk(context, device, target));
  return device;
}

function attachMemory(target: string, undo: UndoList): void {
  const result = sys.mount("layer", target, "tmpfs", sys.MS_NOATIME, "mode=755");
  if (result < 0) throw failure(result, "MountFailed", "mount a tmpfs for the writable layer", target);
  undo.add("unmount the writable layer", () => unmount(target));
}

/** The overlay's lower directories, the uppermost first. Relative names are below the writable layer. */
async function lowerDirectories(
  context: AgentContext,
  rootfs: GuestRootfs,
  layer: string,
  undo: UndoList,
): Promise<string[]> {
  switch (rootfs.kind) {
    case "image":
      return await useImages(context, rootfs.imageSerials, undo);
    case "builtin":
      return [BUILTIN_ROOT];
    case "archive":
      return await unpackImage(context, `${SHARE}/${checkedSharePath(rootfs.path)}`, layer);
    default:
      return [existingDirectory(`${SHARE}/${checkedOptionPath(checkedSharePath(rootfs.path))}`)];
  }
}

async function useImages(
  { images }: AgentContext,
  serials: readonly string[],
  undo: UndoList,
): Promise<string[]> {
  const paths: string[] = [];
  for (const serial of serials) {
    paths.push(await images.use(serial));
    undo.add(`release the image ${serial}`, () => images.release(serial));
  }
  return paths;
}

function existingDirectory(path: string): string {
  const stat = sys.lstat(path);
  if (typeof stat !== "number" && (stat.mode & sys.S_IFMT) === sys.S_IFDIR) return path;
  throw blazarError(
    "InvalidRootfs",
    "find the container's layers",
    typeof stat === "number" ? "the share has no such directory" : "it is not a directory",
    { subject: path },
  );
}

function mountOverlay(layer: string, lower: readonly string[], root: string): void {
  // relative names, so that the options of many layers fit the 4,095 bytes that mount(2) takes
  check(sys.chdir(layer), "enter the writable layer", layer);
  try {
    for (const name of LAYER_DIRECTORIES) {
      const made = sys.mkdir(name, 0o755);
      if (made < 0 && made !== -sys.EEXIST)
        throw failure(made, "StorageFailed", "prepare the writable layer", name);
    }
    takeRootAttributes(lower);
    const data = `lowerdir=${lower.join(":")},upperdir=upper,workdir=work`;
    const result = sys.mount("overlay", root, "overlay", 0, data);
    if (result === -sys.E2BIG)
      throw failure(result, "MountOptionsTooLong", "mount the container's root", root);
    if (result < 0) throw failure(result, "MountFailed", "mount the container's root", root);
  } finally {
    sys.chdir("/");
  }
}

/**
 * Gives a new upper directory mode and owner of the topmost lower one: an overlay's root has the attributes of its upper.
 * The writable layer is the working directory.
 */
function takeRootAttributes([top]: readonly string[]): void {
  // overlayfs makes this when it is mounted first: what the container has set since then is its own
  if (top === undefined || typeof sys.lstat("work/work") !== "number") return;
  const stat = sys.lstat(top);
  if (typeof stat === "number") throw failure(stat, "InvalidRootfs", "look at the image's root", top);
  check(sys.lchown("upper", stat.uid, stat.gid), "give the root its owner", top);
  check(sys.chmod("upper", stat.mode & PERMISSIONS), "give the root its mode", top);
}

/** Detaches the mount, so that a dying process that still holds it does no harm. */
function unmount(path: string): void {
  check(sys.umount2(path, sys.MNT_DETACH), "unmount", path);
}

/**
 * Images of busybox, and the pause image that runc's pods rest in.
 */
import { readFile } from "node:fs/promises";
import { basename } from "node:path";
import { PAUSE_IMAGE } from "../node/containerd-config.ts";
import type { ImageSpec } from "./image-builder.ts";
import type { TarFile } from "./tar-writer.ts";

/** A static busybox, and the file with its applets' paths, one a line: as set-up has them. */
export interface Busybox {
  readonly binary: string;
  readonly applets: string;
}

const PATH = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
const DIRECTORIES = ["bin", "dev", "etc", "home", "proc", "root", "run", "sys", "tmp", "usr", "var"];
const MODES: Readonly<Record<string, number>> = { tmp: 0o1777, root: 0o700 };
const PASSWD = "root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534:nobody:/:/bin/false\n";

/** An image of busybox alone, whose command is a shell. */
export async function busyboxImage(name: string, { binary, applets }: Busybox): Promise<ImageSpec> {
  const paths = (await readFile(applets, "utf8")).split("\n").filter((line) => line !== "");
  const names = paths.map((path) => basename(path));
  return busyboxImageOf(name, binary, names);
}

/** The same, of a busybox whose applets' names are known. */
export async function busyboxImageOf(
  name: string,
  binary: string,
  applets: readonly string[],
): Promise<ImageSpec> {
  return { name, layers: [await busyboxLayer(binary, applets)], process: { Env: [PATH], Cmd: ["sh"] } };
}

/** The same image with a volume at `/volume`, in which there is something already. */
export function volumeImage(name: string, image: ImageSpec): ImageSpec {
  const layer: TarFile[] = [
    { path: "volume", type: "directory", mode: 0o1770, uid: 5, gid: 6 },
    { path: "volume/initial", content: "initial\n", mode: 0o640, uid: 7, gid: 8 },
    { path: "volume/link", type: "symlink", target: "initial" },
  ];
  const volumes = { "/volume": {}, "/made/volume": {} };
  return {
    ...image,
    name,
    layers: [...image.layers, layer],
    process: { ...image.process, Volumes: volumes },
  };
}

/** The same image with links: to directories, to nothing, in a ring, and where a pod's own files go. */
export function linksImage(name: string, image: ImageSpec): ImageSpec {
  const link = (path: string, target: string): TarFile => ({ path, type: "symlink", target });
  const layer: TarFile[] = [
    { path: "real", type: "directory" },
    { path: "real/deep", type: "directory" },
    ...[link("abs", "/real"), link("rel", "real/deep"), link("chain", "abs/deep"), link("ring", "/ring")],
    ...[link("dangling", "/not/there"), link("second", "dangling"), link("escape", "../../../../outside")],
    link("own", "/proc/self/root"),
    ...[link("etc/hosts", "/tmp/hosts"), link("etc/hostname", "/nowhere/hostname")],
    link("etc/resolv.conf", "../run/systemd/resolve/stub-resolv.conf"),
  ];
  return { ...image, name, layers: [...image.layers, layer] };
}

/** The image for a pod of runc to rest in, of what another image has. */
export function pauseImage(image: ImageSpec): ImageSpec {
  return { ...image, name: PAUSE_IMAGE, process: { Entrypoint: ["/bin/sleep", "2147483647"] } };
}

/** A root directory with busybox in it, a name for each applet, and what programs expect to find. */
async function busyboxLayer(busybox: string, applets: readonly string[]): Promise<TarFile[]> {
  return [
    ...DIRECTORIES.map((path) => ({ path, type: "directory" as const, mode: MODES[path] ?? 0o755 })),
    { path: "bin/busybox", content: await readFile(busybox), mode: 0o755 },
    ...applets
      .filter((applet) => applet !== "busybox")
      .map((applet) => ({ path: `bin/${applet}`, type: "symlink" as const, target: "busybox" })),
    { path: "etc/passwd", content: PASSWD },
    { path: "etc/group", content: "root:x:0:\nnogroup:x:65534:\n" },
  ];
}

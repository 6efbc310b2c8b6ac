/**
 * Finds and makes the mount points in a container's root.
 *
 * Runs in the child after pivot_root. openat2(2) resolves every path below the root and without magic links, because
 * /proc/PID/root of a shared PID namespace would lead out. Missing parts of a path are made one by one, each from the
 * descriptor of the part before.
 */
import * as sys from "sys";
import { check, failure } from "../../../native/runtime/check.ts";

const RESOLVE = sys.RESOLVE_IN_ROOT | sys.RESOLVE_NO_MAGICLINKS;

/** As the kernel's own (path_resolution(7)): an image's links may lead in a ring. */
const MAX_LINKS = 40;

/** The arguments of mount(2), but for the target. */
export interface Filesystem {
  readonly type: string;
  readonly source: string;
  readonly flags: number;
  readonly data: string;
}

export class MountPoints {
  private readonly root = check(sys.open("/", sys.O_PATH | sys.O_DIRECTORY), "open the container's root");

  /** Opens what is at `path` with O_PATH; -1 if nothing is there. */
  find(path: string): number {
    const fd = sys.openat2(this.root, path, sys.O_PATH, 0, RESOLVE);
    if (fd === -sys.ENOENT || fd === -sys.ENOTDIR) return -1;
    return check(fd, "find a path in the container", path);
  }

  /** Opens a directory (or file) with O_PATH, and makes it if it is missing. Throws MountFailed. */
  make(path: string, directory: boolean): number {
    const fd = this.tryMake(path, directory);
    if (fd < 0) throw failure(fd, "MountFailed", "make a mount point in the container", path);
    return fd;
  }

  /** As {@link make}, but returns -errno if the root cannot have it. */
  tryMake(path: string, directory: boolean): number {
    const fd = sys.openat2(this.root, path, sys.O_PATH, 0, RESOLVE);
    return fd === -sys.ENOENT ? this.create(path, directory) : fd;
  }

  /** Mounts a filesystem of the kernel on a directory, which is made if it is missing. */
  mountFilesystem(path: string, filesystem: Filesystem): void {
    this.mountAt(this.make(path, true), path, filesystem);
  }

  /** The same on an open directory, which it closes. `path` is for errors. */
  mountAt(directory: number, path: string, filesystem: Filesystem): void {
    const { type, source, flags, data } = filesystem;
    this.inDirectory(directory, path, () => {
      const result = sys.mount(source, ".", type, flags, data);
      if (result < 0) throw failure(result, "MountFailed", `mount ${type} in the container`, path);
    });
  }

  /** Sets the propagation (MS_SHARED and the like) of the mount at `path`. */
  setPropagation(path: string, propagation: number): void {
    const point = this.find(path);
    if (point < 0) return;
    const recursive = (propagation & sys.MS_REC) === 0 ? 0 : sys.AT_RECURSIVE;
    const type = propagation & ~sys.MS_REC;
    const result = sys.mountSetattr(point, "", sys.AT_EMPTY_PATH | recursive, 0, 0, type);
    check(result, "set the propagation of a mount", path);
    sys.close(point);
  }

  /** Runs `action` with `directory` as the working directory, then closes the directory. `path` is for errors. */
  inDirectory(directory: number, path: string, action: () => void): void {
    const entered = sys.fchdir(directory);
    if (entered < 0) throw failure(entered, "MountFailed", "enter a directory of the container", path);
    action();
    check(sys.chdir("/"), "return to the container's root");
    sys.close(directory);
  }

  private create(path: string, directory: boolean, links = 0): number {
    if (links > MAX_LINKS) return -sys.ELOOP;
    const parts = path.split("/").filter((part) => part !== "" && part !== ".");
    const name = parts.pop() ?? ".";
    const parent = `/${parts.join("/")}`;
    let made = this.createPart(parent, name, directory);
    if (made === -sys.ENOENT && parts.length > 0) {
      // tried second, because usually only the last part is missing
      const above = this.create(parent, true, links);
      if (above < 0) return above;
      sys.close(above);
      made = this.createPart(parent, name, directory);
    }
    if (made < 0 && made !== -sys.EEXIST) return made;
    // nothing was found at the path: a link that exists there has a target that is missing, and that is what has to be made
    const target = made === -sys.EEXIST ? this.linkAt(parent, name) : undefined;
    if (target === undefined) return sys.openat2(this.root, path, sys.O_PATH, 0, RESOLVE);
    return this.create(target.startsWith("/") ? target : `${parent}/${target}`, directory, links + 1);
  }

  /** The target of a link; undefined if it is none. */
  private linkAt(parent: string, name: string): string | undefined {
    let target: string | number = -sys.ENOENT;
    this.inParent(parent, () => {
      target = sys.readlink(name);
      return 0;
    });
    return typeof target === "string" ? target : undefined;
  }

  private createPart(parent: string, name: string, directory: boolean): number {
    return this.inParent(parent, () => {
      if (directory) return sys.mkdir(name, 0o755);
      const fd = sys.open(name, sys.O_WRONLY | sys.O_CREAT | sys.O_EXCL | sys.O_NOFOLLOW, 0o644);
      if (fd >= 0) sys.close(fd);
      return fd;
    });
  }

  /** Runs `action` with a directory of the root as the working directory; -errno if there is none. */
  private inParent(parent: string, action: () => number): number {
    const at = sys.openat2(this.root, parent, sys.O_PATH | sys.O_DIRECTORY, 0, RESOLVE);
    if (at < 0) return at;
    const entered = sys.fchdir(at);
    const result = entered < 0 ? entered : action();
    sys.close(at);
    sys.chdir("/");
    return result;
  }
}

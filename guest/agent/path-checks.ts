/**
 * Checks of names from the host that become paths in the guest: container ids, serials of disks, paths in the share.
 *
 * The host may do with the guest what it likes, but a mistake of the host must not overwrite the guest's own files. So
 * every name is checked here before it is joined to a path.
 */
import { blazarError } from "../../src/contracts/errors.ts";

const ID = /^[A-Za-z0-9][A-Za-z0-9_.-]{0,127}$/;
const SERIAL = /^[a-z0-9-]{1,31}$/;
/** Characters that separate or escape something in overlayfs's options. */
const OPTION_CHARACTERS = /[,:\\\n]/;

/** Returns `id` if it can be a directory's name. Throws InvalidArgument. */
export function checkedId(id: string): string {
  if (ID.test(id)) return id;
  throw blazarError(
    "InvalidArgument",
    "name a container",
    "an id is up to 128 letters, digits, '_', '-' and '.', starting with a letter or digit",
    { subject: id.slice(0, 128) },
  );
}

/** Returns `serial` if it has the form of the host's ids of disks: it becomes part of a path. Throws InvalidArgument. */
export function checkedSerial(serial: string): string {
  if (SERIAL.test(serial)) return serial;
  const reason = "a serial number has 1 to 31 characters out of a-z, 0-9 and -";
  throw blazarError("InvalidArgument", "name a disk", reason, { subject: serial.slice(0, 128) });
}

/** Returns `path` if it is relative and stays below the share. "" is the share itself. Throws InvalidRootfs. */
export function checkedSharePath(path: string): string {
  const parts = path.split("/");
  const bad = path.startsWith("/") || parts.includes("..") || parts.includes(".");
  if (!bad && path.length <= 3072 && !path.includes("\0")) return path;
  throw blazarError("InvalidRootfs", "find a path in the share", "it is not a plain path below the share", {
    subject: path.slice(0, 256),
  });
}

/** Returns `name` if it has the form of the host's names of volumes. Throws InvalidArgument. */
export function checkedVolumeName(name: string): string {
  if (SERIAL.test(name)) return name;
  const reason = "a name has 1 to 31 characters out of a-z, 0-9 and -";
  throw blazarError("InvalidArgument", "name a volume", reason, { subject: name.slice(0, 128) });
}

/** Returns `path` if it names something below a volume. Throws InvalidArgument. */
export function checkedVolumePath(path: string): string {
  const parts = path.split("/");
  const bad = parts.includes("..") || parts.includes(".") || parts.includes("") || path.includes("\0");
  if (!bad && path.length <= 4096) return path;
  const reason = "it is not a plain path below the volume";
  throw blazarError("InvalidArgument", "find a path in a volume", reason, { subject: path.slice(0, 256) });
}

/** Returns `path` if overlayfs's options can hold it as it is. Throws InvalidRootfs. */
export function checkedOptionPath(path: string): string {
  if (!OPTION_CHARACTERS.test(path)) return path;
  throw blazarError(
    "InvalidRootfs",
    "name a layer",
    "the path of a layer must not contain ',', ':', '\\' or a line break",
    { subject: path.slice(0, 256) },
  );
}

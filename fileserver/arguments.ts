/** The file server's command line, which is all of its configuration. Pure. */

export interface Arguments {
  /** The directory that is served. */
  readonly root: string;
  /** Where it listens for its one guest: a path, or the number of a descriptor that listens already. */
  readonly socket: string | number;
  /** Whether the guest may change files. */
  readonly writable: boolean;
}

export const USAGE = "usage: fileserver [--writable] --root PATH (--socket PATH | --listener FD)";

/** Throws an Error that names the option. `args` without the program's name. */
export function parseArguments(args: readonly string[]): Arguments {
  const given = new Map<string, string>();
  const writable = args[0] === "--writable";
  for (let index = writable ? 1 : 0; index < args.length; index += 2) {
    const [name = "", value] = [args[index], args[index + 1]];
    if (!["--root", "--socket", "--listener"].includes(name))
      throw new Error(`${name}: there is no such option`);
    if (value === undefined) throw new Error(`${name}: its value is missing`);
    given.set(name, value);
  }
  const [root, socket, listener] = [given.get("--root"), given.get("--socket"), given.get("--listener")];
  if (root?.startsWith("/") !== true) throw new Error("--root: an absolute path is needed");
  if (socket?.startsWith("/") === true && listener === undefined) return { root, socket, writable };
  if (socket === undefined && /^[0-9]{1,4}$/.test(listener ?? ""))
    return { root, socket: Number(listener), writable };
  throw new Error("--socket or --listener: an absolute path or the number of a descriptor is needed");
}

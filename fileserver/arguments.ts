/** The file server's command line, which is all of its configuration. Pure. */
import { type IdMapping, mapsProblem, type UserNamespaceMaps } from "../src/contracts/id-maps.ts";

export interface Arguments {
  /** The directory that is served. */
  readonly root: string;
  /** Where it listens for its one guest: a path, or the number of a descriptor that listens already. */
  readonly socket: string | number;
  /** Whether the guest may change files. */
  readonly writable: boolean;
  /** What files' owners are for the guest; undefined: the host's ids. */
  readonly maps: UserNamespaceMaps | undefined;
}

const MAP = "<inside>:<outside>:<size>,…";

export const USAGE = `usage: fileserver [--writable] [--uid-map ${MAP} --gid-map ${MAP}] --root PATH (--socket PATH | --listener FD)`;
const NAMES = ["--root", "--socket", "--listener", "--uid-map", "--gid-map"];

/** Throws an Error that names the option. `args` without the program's name. */
export function parseArguments(args: readonly string[]): Arguments {
  const given = new Map<string, string>();
  const writable = args[0] === "--writable";
  for (let index = writable ? 1 : 0; index < args.length; index += 2) {
    const [name = "", value] = [args[index], args[index + 1]];
    if (!NAMES.includes(name)) throw new Error(`${name}: there is no such option`);
    if (value === undefined) throw new Error(`${name}: its value is missing`);
    given.set(name, value);
  }
  const [root, socket, listener] = [given.get("--root"), given.get("--socket"), given.get("--listener")];
  if (root?.startsWith("/") !== true) throw new Error("--root: an absolute path is needed");
  const maps = readMaps(given);
  if (socket?.startsWith("/") === true && listener === undefined) return { root, socket, writable, maps };
  if (socket === undefined && /^[0-9]{1,4}$/.test(listener ?? ""))
    return { root, socket: Number(listener), writable, maps };
  throw new Error("--socket or --listener: an absolute path or the number of a descriptor is needed");
}

function readMaps(given: ReadonlyMap<string, string>): UserNamespaceMaps | undefined {
  if (!given.has("--uid-map") && !given.has("--gid-map")) return undefined;
  return { uids: readMap(given, "--uid-map"), gids: readMap(given, "--gid-map") };
}

function readMap(given: ReadonlyMap<string, string>, name: string): IdMapping[] {
  const mappings = (given.get(name) ?? "").split(",").map((text) => {
    const [, containerId, hostId, size] = /^(\d{1,10}):(\d{1,10}):(\d{1,10})$/.exec(text) ?? [];
    if (size === undefined) throw new Error(`${name}: "${text}" is not of the form ${MAP}`);
    return { containerId: Number(containerId), hostId: Number(hostId), size: Number(size) };
  });
  const problem = mapsProblem(mappings);
  if (problem !== undefined) throw new Error(`${name}: ${problem}`);
  return mappings;
}

/**
 * The looks of the reconciler at the host: for each kind of thing where it is, and by what it is provably ours.
 *
 * Ours is what is below a directory that is this daemon's alone, what its keeper holds, and what has a name that nobody else
 * gives. Must not decide whether somebody holds it, and must not change anything.
 */
import { join, relative } from "node:path";
import { blazarError } from "../../contracts/errors.ts";
import type { ImageStore } from "../../contracts/images.ts";
import type { Keeper } from "../../contracts/keeper.ts";
import type { NodeView, PlacedName } from "../../contracts/node-view.ts";
import { COPIES } from "../resources/journal/journal-copy.ts";
import { REPLACEMENT } from "../resources/journal/journal-file.ts";
import { ASIDE } from "../resources/journal/kept-aside.ts";
import type { ResourcePorts } from "../resources/kinds/kind.ts";
import { describeResource, type HostResource } from "../resources/kinds/kinds.ts";
import { type Found, type Look, REMOVES } from "./found.ts";
import { isMaker } from "./lost-makers.ts";

export interface LookPorts {
  readonly view: NodeView;
  readonly keeper: Pick<Keeper, "pid" | "connected" | "inventory" | "closeStdio">;
  readonly images: Pick<ImageStore, "held">;
  readonly undo: ResourcePorts;
  readonly stateDirectory: string;
  /** Ids of the sandboxes that containerd knows. Throws if it cannot be asked. */
  readonly storedSandboxes: () => Promise<ReadonlySet<string>>;
  /** The directory of scratch disks; undefined: it is another daemon's. Throws if it cannot be told. */
  readonly ownScratch: () => Promise<string | undefined>;
  /** Whether a journal that is open names a network namespace, which then need not be looked into. */
  readonly isConnected: (netnsPath: string) => boolean;
  /** Field 22 of this process's /proc/PID/stat. */
  readonly startTime: number;
  readonly now: () => number;
}

/** Disks of warm VMs and of containers whose snapshot has no place for one. */
export const SCRATCH_DISK = /^[A-Za-z0-9][A-Za-z0-9._-]*\.(?:prepared|ext4)$/;
/** A directory in which a socket is bound before it is moved to its place. */
const SOCKETS_MAKING = /^\.s-[A-Za-z0-9]{6}$/;
/** What takes milliseconds is in nobody's making after this long. */
const LONG_MS = 60_000;
/** CRI's ids of sandboxes. */
const SANDBOX_ID = /^[0-9a-f]{64}$/;

/** All looks, by the kind of thing. */
export function looksAt(ports: LookPorts): Readonly<Record<string, Look>> {
  const { stateDirectory } = ports;
  return {
    process: async () => keeperProcesses(ports),
    orphan: () => orphans(ports),
    stdio: async () => openStdio(ports),
    uplink: () => uplinks(ports),
    network: () => networks(ports),
    cgroups: () => cgroups(ports),
    directory: () => directories(ports),
    mount: () => mounts(ports),
    file: () => halfMade(ports),
    disk: () => disks(ports),
    image: () => images(ports),
    journal: () => journalsAside(join(stateDirectory, "journals"), ports.view),
  };
}

function found(kind: string, resource: HostResource, more: Partial<Found> = {}): Found {
  const text = describeResource(resource);
  return { kind, key: `${kind} ${text}`, text, resource, action: REMOVES, ...more };
}

function heldByKeeper({ keeper }: LookPorts) {
  if (keeper.connected) return keeper.inventory();
  throw blazarError("KeeperLost", "look at what the keeper holds", "it does not answer");
}

function keeperProcesses(ports: LookPorts): Found[] {
  const ours = heldByKeeper(ports).processes.filter(
    ({ id, identity }) => !isMaker(id) || identity.startTime < ports.startTime,
  );
  return ours.map(({ id, identity: { pid, startTime } }) =>
    found("process", { kind: "process", id, pid, startTime }, { action: "kills it" }),
  );
}

/** Processes with our files open that have lost their keeper. */
async function orphans(ports: LookPorts): Promise<Found[]> {
  const { view, stateDirectory } = ports;
  const places = ["vm", "uplinks", "sandboxes"].map((name) => join(stateDirectory, name));
  const processes = await view.processes(places);
  const known = new Set(heldByKeeper(ports).processes.map(({ identity }) => identity.pid));
  return processes
    .filter(({ pid, ancestors }) => !known.has(pid) && !ancestors.includes(ports.keeper.pid))
    .map(({ pid, startTime, files: [file = ""] }) =>
      found(
        "orphan",
        { kind: "process", id: `of nobody with ${file}`, pid, startTime },
        { action: "kills it", within: placesOf(file, stateDirectory) },
      ),
    );
}

/** Whose things are in the place of a file: a VM's, a sandbox's or an uplink's. */
function placesOf(file: string, stateDirectory: string): HostResource[] {
  const [kind = "", name = ""] = relative(stateDirectory, file).split("/");
  if (kind === "uplinks") return [{ kind: "network", id: name, netnsPath: "" }];
  return [{ kind: "directory", path: join(stateDirectory, kind, name) }];
}

function openStdio(ports: LookPorts): Found[] {
  const paths = { stdin: "", stdout: "", stderr: "" };
  return heldByKeeper(ports).stdio.map((id) =>
    found(
      "stdio",
      { kind: "stdio", id, paths },
      { action: "closes it", remedy: () => ports.keeper.closeStdio(id) },
    ),
  );
}

async function uplinks({ view, undo, stateDirectory }: LookPorts): Promise<Found[]> {
  const directory = join(stateDirectory, "uplinks");
  return (await view.names(directory)).filter(isDirectory).map(({ name: id }) => {
    const resource = { kind: "network", id, netnsPath: "" } as const;
    const remedy = async () => {
      await undo.networks.disconnect(resource);
      await undo.files.removeTree(join(directory, id));
    };
    return found("uplink", resource, { text: `uplink ${id}`, remedy });
  });
}

async function networks({ view, isConnected }: LookPorts): Promise<Found[]> {
  const paths = await view.deadJoints(isConnected);
  return paths.map((netnsPath) =>
    found(
      "network",
      { kind: "network", id: netnsPath, netnsPath },
      { text: `frames of ${netnsPath} go to a tap that is gone`, action: "gives its links back" },
    ),
  );
}

/** Empty ones in this daemon's own group; those of sandboxes that containerd knows may yet be needed. */
async function cgroups({ view, storedSandboxes }: LookPorts): Promise<Found[]> {
  const groups = (await view.emptyGroups()).filter(({ name }) => SANDBOX_ID.test(name));
  if (groups.length === 0) return [];
  const stored = await storedSandboxes();
  return groups
    .filter(({ name }) => !stored.has(name))
    .map(({ directories }) => found("cgroups", { kind: "cgroups", directories }));
}

async function directories({ view, stateDirectory }: LookPorts): Promise<Found[]> {
  const places = ["sandboxes", "vm"].map(async (place) => {
    const directory = join(stateDirectory, place);
    const names = (await view.names(directory)).filter(isDirectory);
    return names.map(({ name }) => found("directory", { kind: "directory", path: join(directory, name) }));
  });
  return (await Promise.all(places)).flat();
}

/** A container's layers and a pod's volumes, in the directory of a sandbox that is there. */
async function mounts({ view, stateDirectory }: LookPorts): Promise<Found[]> {
  const directory = join(stateDirectory, "sandboxes");
  const things = new Map<string, Found>();
  for (const point of await view.mounts(directory)) {
    const [owner = "", share, item] = relative(directory, point).split("/");
    if (item === undefined) continue;
    const path = join(directory, owner, share ?? "", item);
    if (share === "share") things.set(path, found("mount", { kind: "directory", path }, { text: point }));
    if (share === "volumes")
      things.set(path, found("mount", { kind: "volume", target: path }, { text: point }));
  }
  return [...things.values()];
}

/** What is replaced or moved to its place within milliseconds. */
async function halfMade({ view, stateDirectory, now }: LookPorts): Promise<Found[]> {
  const journals = join(stateDirectory, "journals");
  const isOld = ({ changedAt }: PlacedName) => now() - changedAt > LONG_MS;
  const places = [journals, join(journals, COPIES)].map(async (place) =>
    (await view.names(place))
      .filter((each) => each.isFile && each.name.endsWith(REPLACEMENT) && isOld(each))
      .map(({ name }) => found("file", { kind: "file", path: join(place, name) })),
  );
  const drafts = (await Promise.all(places)).flat();
  const sockets = (await view.names(stateDirectory))
    .filter((each) => each.isDirectory && SOCKETS_MAKING.test(each.name) && isOld(each))
    .map(({ name }) => found("file", { kind: "directory", path: join(stateDirectory, name) }));
  return [...drafts, ...sockets];
}

async function disks({ view, ownScratch }: LookPorts): Promise<Found[]> {
  const directory = await ownScratch();
  if (directory === undefined) return [];
  const names = (await view.names(directory)).filter(({ isFile, name }) => isFile && SCRATCH_DISK.test(name));
  if (names.length === 0) return [];
  const open = new Set((await view.processes([directory])).flatMap(({ files }) => files));
  const paths = names.map(({ name }) => join(directory, name)).filter((path) => !open.has(path));
  return paths.map((path) => found("disk", { kind: "file", path }));
}

async function images({ images: store }: LookPorts): Promise<Found[]> {
  const held = await store.held();
  return held.map(({ key, holder }) => found("image", { kind: "image", key, holder }));
}

/** A daemon has put them aside for people, so a person has to look. */
async function journalsAside(directory: string, view: NodeView): Promise<Found[]> {
  const names = (await view.names(directory)).filter(({ name }) => name.includes(ASIDE));
  return names.map(({ name }) => {
    const text = `${join(directory, name)} could not be read by a daemon; look for what it names, then remove it`;
    return { kind: "journal", key: `journal ${name}`, text, resource: undefined, action: "" };
  });
}

function isDirectory({ isDirectory: is }: PlacedName): boolean {
  return is;
}

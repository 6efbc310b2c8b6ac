/**
 * Makes one image: a view of the layers, mkfs.erofs(1) on it, checks.
 *
 * mkfs.erofs is the keeper's child, in a jail that has the view, the image and its libraries; it may read every file there
 * and gets what nobody else wants of processors and disks. A thread mounts the view and checks what has come out. Whatever happens, child and mount are gone at the end. Must not know which images are
 * kept.
 */
import { randomBytes } from "node:crypto";
import { constants } from "node:fs";
import { open, statfs } from "node:fs/promises";
import { join } from "node:path";
import { type BlazarError, blazarError } from "../../../contracts/errors.ts";
import { SLOT_BYTES } from "../../../contracts/images.ts";
import type { JailMount, Keeper, ProcessExit, ProcessSpawn } from "../../../contracts/keeper.ts";
import type { SeccompCompiler } from "../../../contracts/seccomp.ts";
import { onAbort, throwIfAborted } from "../../../lib/async.ts";
import { endOf, SIGKILL } from "../../../lib/signals.ts";
import type { ImageTasks } from "../../../workers/image.worker.ts";
import type { Owner } from "../../../workers/images/disk-image.ts";
import type { TaskRunner } from "../worker-pool.ts";
import { chainKey } from "./chain-key.ts";
import { type ImageContent, imageIn } from "./image-files.ts";
import { MKFS_CALLS } from "./mkfs-calls.ts";

const OPERATION = "make an image of layers";
/** It keeps every file of an image in its memory, and an image may have any number of them. What needs more is not made. */
const MOST_MEMORY_BYTES = 2 * 2 ** 30;
const STDOUT = 1;
const STDERR = 2;
/** The end of what mkfs.erofs says is read; it is told not to say much. */
const LOG_BYTES = 2048;
/** What begins a line of it that tells an error. */
const ERROR = "<E>";
/** A disk with less room is full. */
const FULL_BYTES = 2 ** 20;

/** mkfs.erofs, and what of the host it needs to run. */
export interface MkfsErofs {
  /** Program and first arguments. */
  readonly command: readonly string[];
  /** Absolute paths, which its jail has, read-only. */
  readonly needs: readonly string[];
}

/** Where layers and image are in the jail. */
const LAYERS = "/layers";
const IMAGE = "/image";

/** What makes images. */
export interface ImageMaker {
  readonly workers: TaskRunner<ImageTasks>;
  readonly keeper: Pick<Keeper, "spawn" | "signal" | "exited" | "forget">;
  /** Undefined: there is none. */
  readonly mkfs: MkfsErofs | undefined;
  /** Compiles the list of what it may call. */
  readonly seccomp: SeccompCompiler;
  /** The user that mkfs.erofs runs as; undefined: this process's own, where that is not root. */
  readonly user: Owner | undefined;
}

/** Makes the image of a chain in a draft. Throws what ImageStore.prepare says. */
export async function buildImage(
  maker: ImageMaker,
  {
    key,
    lower,
    draft,
    most,
  }: {
    readonly key: string;
    readonly lower: readonly string[];
    readonly draft: string;
    readonly most: number;
  },
  signal: AbortSignal,
): Promise<ImageContent> {
  const { workers, mkfs, user } = maker;
  if (mkfs === undefined) {
    const remedy = "run `npm run setup`, or set image.mkfs";
    throw blazarError("DependencyMissing", OPERATION, "there is no mkfs.erofs", { subject: key, remedy });
  }
  const image = imageIn(draft);
  const log = join(draft, "log");
  try {
    const { view } = await workers.run("openView", {
      lower,
      directory: draft,
      image,
      log,
      owner: user,
      most,
    });
    throwIfAborted(signal, { operation: OPERATION, subject: key });
    const { program: calls } = await maker.seccomp.compile(MKFS_CALLS);
    const child = mkfsProcess({ key, mkfs, user, image, view, log, most, calls });
    const exit = await runChild(maker.keeper, child, signal);
    throwIfAborted(signal, { operation: OPERATION, subject: key });
    const said = await endOfLog(log);
    // A thread of version 1.8 that fails is not in the status.
    if (exit.code !== 0 || said.includes(ERROR)) throw await failed(key, exit, { said, draft, most });
  } finally {
    await workers.run("closeView", draft);
  }
  const content = await workers.run("seal", { image, apparentSize: SLOT_BYTES });
  // Layers that were removed meanwhile were read by halves.
  if ((await chainKey(lower)) === key) return content;
  throw blazarError("InvalidRootfs", OPERATION, "a layer was changed meanwhile", { subject: key });
}

interface Mkfs {
  readonly key: string;
  readonly mkfs: MkfsErofs;
  readonly user: Owner | undefined;
  readonly image: string;
  readonly view: string;
  readonly log: string;
  readonly most: number;
  readonly calls: string;
}

function mkfsProcess({ key, mkfs, user, image, view, log, most, calls }: Mkfs): ProcessSpawn {
  const flags = constants.O_WRONLY | constants.O_CREAT | constants.O_APPEND | constants.O_NOFOLLOW;
  const limit = (type: string, value: number) => ({ type, soft: value, hard: value });
  return {
    id: `image-${randomBytes(6).toString("hex")}`,
    // the key as UUID: an image is the same whenever it is made
    argv: [...mkfs.command, "--quiet", `-U${uuidOf(key)}`, IMAGE, LAYERS],
    env: [],
    cwd: "/",
    ...(user === undefined ? {} : { uid: user.uid, gid: user.gid }),
    groups: [],
    // Layers have files that only root may read. Without CAP_SYS_ADMIN it sees no trusted.* attributes, so that none of them
    // can be taken for an overlay's own by the guest.
    capabilities: ["CAP_DAC_READ_SEARCH"],
    files: [STDOUT, STDERR].map((fd) => ({ fd, path: log, flags, mode: 0o600 })),
    sockets: [],
    jail: {
      mounts: [
        ...mkfs.needs.map((path) => jailMount(path, path, true)),
        jailMount(view, LAYERS, true),
        jailMount(image, IMAGE, false),
      ],
      proc: false,
      calls,
    },
    idle: true,
    cgroups: [],
    rlimits: [
      limit("RLIMIT_CORE", 0),
      limit("RLIMIT_FSIZE", Math.min(most, SLOT_BYTES)),
      limit("RLIMIT_AS", MOST_MEMORY_BYTES),
    ],
    oomScoreAdj: 1000,
  };
}

function jailMount(source: string, target: string, readonly: boolean): JailMount {
  return { source, target, readonly, follow: false, temporary: false };
}

/** Runs it to its end; an abort kills it. */
async function runChild(
  keeper: ImageMaker["keeper"],
  child: ProcessSpawn,
  signal: AbortSignal,
): Promise<ProcessExit> {
  const { id } = child;
  await keeper.spawn(child, signal);
  const forget = onAbort(signal, () => void keeper.signal(id, SIGKILL).catch(() => undefined));
  try {
    return await keeper.exited(id);
  } finally {
    forget();
    await keeper.forget(id).catch(() => undefined);
  }
}

async function endOfLog(log: string): Promise<string> {
  const file = await open(log, "r");
  try {
    const { size } = await file.stat();
    const { buffer, bytesRead } = await file.read({
      buffer: Buffer.alloc(LOG_BYTES),
      position: Math.max(0, size - LOG_BYTES),
    });
    return buffer.toString("utf8", 0, bytesRead).trim();
  } finally {
    await file.close();
  }
}

async function failed(
  subject: string,
  exit: ProcessExit,
  { said, draft, most }: { readonly said: string; readonly draft: string; readonly most: number },
): Promise<BlazarError> {
  // EFBIG and ENOSPC: the first process of a PID namespace gets no SIGXFSZ
  if (said.includes("File too large")) {
    const about = { subject, remedy: "raise image.disk_limit" };
    return blazarError("ResourceExhausted", OPERATION, `it would have more than ${most} bytes`, about);
  }
  const { bavail, bsize } = await statfs(draft);
  const full = said.includes("No space left on device") || bavail * bsize < FULL_BYTES;
  const ended = `mkfs.erofs ended with ${endOf(exit)}${said === "" ? "" : `: ${said}`}`;
  const reason = full ? `the disk is full: ${ended}` : ended;
  return blazarError(full ? "ResourceExhausted" : "StorageFailed", OPERATION, reason, { subject });
}

function uuidOf(key: string): string {
  const [, ...groups] = /^(.{8})(.{4})(.{4})(.{4})(.{12})/.exec(key) ?? [];
  return groups.join("-");
}

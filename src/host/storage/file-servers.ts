/**
 * The FileServers port: file servers as children of the keeper.
 *
 * The keeper makes the socket, so nobody has to wait for the server. As a user of its own a server is in a jail that has the
 * served directory and nothing else. It has the capabilities that its kind of share needs: layers hold files that only
 * root may read, and in volumes a guest's root does what a container's root does on the host.
 */
import { constants } from "node:fs";
import type { FileServerSpec, FileServers } from "../../contracts/file-servers.ts";
import type { IdMapping, UserNamespaceMaps } from "../../contracts/id-maps.ts";
import type {
  Jail,
  JailMount,
  Keeper,
  ProcessExit,
  ProcessIdentity,
  ProcessSpawn,
} from "../../contracts/keeper.ts";
import type { SeccompCompiler } from "../../contracts/seccomp.ts";
import type { ShareKind } from "../../contracts/share-kind.ts";
import { oomScoreAdj } from "../../lib/oom-score.ts";
import { processStat } from "../../lib/processes/processes.ts";
import { SIGKILL } from "../../lib/signals.ts";
import { checkUnixPath } from "../../lib/sockets/unix-socket.ts";
import { FILE_SERVER_CALLS } from "./file-server-calls.ts";

/** States of proc_pid_stat(5). */
const STOPPED: ReadonlySet<string> = new Set(["T", "t"]);
const STDERR = 2;
const LISTENER = 3;
const PRIVATE = 0o600;
/** Of the log of a server that only reads, which is in the host's memory: more than it may have before it is cut (bounded-logs.ts). */
const MOST_LOG_BYTES = 4 * 1024 * 1024;
/** In the jail. */
const PROGRAM = "/fileserver";
const ROOT = "/share";

const CAPABILITIES: { readonly [Kind in ShareKind]: readonly string[] } = {
  layers: ["CAP_DAC_READ_SEARCH"],
  volumes: [
    "CAP_CHOWN",
    "CAP_DAC_OVERRIDE",
    "CAP_DAC_READ_SEARCH",
    "CAP_FOWNER",
    "CAP_FSETID",
    "CAP_SETFCAP",
  ],
};

const OPTIONS: { readonly [Kind in ShareKind]: readonly string[] } = { layers: [], volumes: ["--writable"] };

export interface KeeperFileServersOptions {
  readonly keeper: Pick<Keeper, "spawn" | "seal" | "signal" | "exited" | "forget">;
  /** Absolute path of the program, which is static. */
  readonly binary: string;
  /** Compiles the list of what a server may call. */
  readonly seccomp: SeccompCompiler;
}

export class KeeperFileServers implements FileServers {
  constructor(private readonly options: KeeperFileServersOptions) {}

  async start(spec: FileServerSpec, signal: AbortSignal): Promise<ProcessIdentity> {
    checkUnixPath(spec.socket);
    const { keeper } = this.options;
    const process = await this.process(spec);
    const identity = await keeper.spawn(process, signal);
    try {
      if (process.jail !== undefined) await keeper.seal(spec.id);
      return identity;
    } catch (error) {
      await this.end(spec.id);
      throw error;
    }
  }

  async isStopped({ pid, startTime }: ProcessIdentity): Promise<boolean> {
    const stat = await processStat(pid);
    return stat?.startTime === startTime && STOPPED.has(stat.state);
  }

  exited(id: string): Promise<ProcessExit> {
    return this.options.keeper.exited(id);
  }

  private async process(spec: FileServerSpec): Promise<ProcessSpawn> {
    const { id, kind, directory, maps, socket, user, cgroups } = spec;
    const { O_WRONLY, O_CREAT, O_APPEND, O_NOFOLLOW } = constants;
    const flags = O_WRONLY | O_CREAT | O_APPEND | O_NOFOLLOW;
    const jailed = user !== undefined;
    const [program, root] = jailed ? [PROGRAM, ROOT] : [this.options.binary, directory];
    return {
      id,
      argv: [program, ...OPTIONS[kind], ...mapOptions(maps), "--root", root, "--listener", String(LISTENER)],
      env: [],
      cwd: "/",
      uid: user?.uid,
      gid: user?.gid,
      groups: [],
      capabilities: CAPABILITIES[kind],
      files: [{ fd: STDERR, path: `${socket}.log`, flags, mode: PRIVATE }],
      sockets: [{ fd: LISTENER, path: socket, mode: PRIVATE }],
      jail: jailed ? await this.jail(spec) : undefined,
      cgroups,
      // small, and nothing of the pod goes on without it
      oomScoreAdj: oomScoreAdj(cgroups, 1),
      rlimits: [
        { type: "RLIMIT_CORE", soft: 0, hard: 0 },
        // files of volumes have the size that their file systems allow
        ...(kind === "layers" ? [{ type: "RLIMIT_FSIZE", soft: MOST_LOG_BYTES, hard: MOST_LOG_BYTES }] : []),
      ],
    };
  }

  private async jail({ kind, directory, changes }: FileServerSpec): Promise<Jail> {
    const share: JailMount = {
      source: directory,
      target: ROOT,
      // a volume is read-only if its mount on the host is
      readonly: kind === "layers",
      follow: changes,
      temporary: false,
    };
    const { binary, seccomp } = this.options;
    const { program: calls } = await seccomp.compile(FILE_SERVER_CALLS);
    const program = { source: binary, target: PROGRAM, readonly: true, follow: false, temporary: true };
    // a file without a name is reached by its descriptor's
    return { mounts: [share, program], proc: true, keepsProc: true, calls };
  }

  private async end(id: string): Promise<void> {
    const { keeper } = this.options;
    await keeper.signal(id, SIGKILL).catch(() => undefined);
    await keeper.exited(id).catch(() => undefined);
    await keeper.forget(id).catch(() => undefined);
  }
}

/** Nothing, or both maps: `<inside>:<outside>:<size>`, separated by commas. */
function mapOptions(maps: UserNamespaceMaps | undefined): string[] {
  if (maps === undefined) return [];
  const text = (mappings: readonly IdMapping[]) =>
    mappings.map(({ containerId, hostId, size }) => `${containerId}:${hostId}:${size}`).join(",");
  return ["--uid-map", text(maps.uids), "--gid-map", text(maps.gids)];
}

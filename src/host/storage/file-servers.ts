/**
 * The FileServers port: file servers as children of the keeper.
 *
 * A server has one capability, because images hold files that only root may read. Its words go to a file beside its socket.
 */
import { constants } from "node:fs";
import { access, readFile } from "node:fs/promises";
import { blazarError } from "../../contracts/errors.ts";
import type { FileServerSpec, FileServers } from "../../contracts/file-servers.ts";
import type { Keeper, ProcessIdentity, ProcessSpawn } from "../../contracts/keeper.ts";
import { pause, within } from "../../lib/async.ts";
import { endOf, SIGKILL } from "../../lib/signals.ts";
import { checkUnixPath } from "../../lib/unix-socket.ts";

const STDERR = 2;
/** A server is ready some milliseconds after its start. */
const LOOK_EVERY_MS = 2;
const LOG_CHARACTERS = 1000;

export interface KeeperFileServersOptions {
  readonly keeper: Pick<Keeper, "spawn" | "signal" | "exited" | "forget">;
  /** Absolute path of the program. */
  readonly binary: string;
}

export class KeeperFileServers implements FileServers {
  constructor(private readonly options: KeeperFileServersOptions) {}

  async start(spec: FileServerSpec, signal: AbortSignal): Promise<ProcessIdentity> {
    checkUnixPath(spec.socket);
    const { keeper } = this.options;
    const identity = await keeper.spawn(this.process(spec), signal);
    try {
      await this.listening(spec, signal);
      return identity;
    } catch (error) {
      await this.end(spec.id);
      throw error;
    }
  }

  private process({ id, directory, socket, user, cgroups }: FileServerSpec): ProcessSpawn {
    const { O_WRONLY, O_CREAT, O_APPEND, O_NOFOLLOW } = constants;
    const flags = O_WRONLY | O_CREAT | O_APPEND | O_NOFOLLOW;
    return {
      id,
      argv: [this.options.binary, "--root", directory, "--socket", socket],
      env: [],
      cwd: "/",
      uid: user?.uid,
      gid: user?.gid,
      groups: [],
      capabilities: ["CAP_DAC_READ_SEARCH"],
      files: [{ fd: STDERR, path: logOf(socket), flags, mode: 0o600 }],
      cgroups,
      rlimits: [{ type: "RLIMIT_CORE", soft: 0, hard: 0 }],
    };
  }

  /** The socket gets its name when it listens. */
  private async listening({ id, socket }: FileServerSpec, signal: AbortSignal): Promise<void> {
    const ended = this.options.keeper.exited(id);
    ended.catch(() => undefined);
    while (!(await isThere(socket))) {
      const exit = await within(ended, LOOK_EVERY_MS);
      if (exit !== undefined) {
        const said = await readFile(logOf(socket), "utf8").catch(() => "");
        const reason = `it ended with ${endOf(exit)}: ${said.trim().slice(-LOG_CHARACTERS)}`;
        throw blazarError("HostResource", "start a file server", reason, { subject: id });
      }
      await pause(0, signal);
    }
  }

  private async end(id: string): Promise<void> {
    const { keeper } = this.options;
    await keeper.signal(id, SIGKILL).catch(() => undefined);
    await keeper.exited(id).catch(() => undefined);
    await keeper.forget(id).catch(() => undefined);
  }
}

function logOf(socket: string): string {
  return `${socket}.log`;
}

function isThere(path: string): Promise<boolean> {
  return access(path).then(
    () => true,
    () => false,
  );
}

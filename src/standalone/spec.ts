/**
 * The OCI spec (runtime-spec, config.md) of a standalone run's one container.
 *
 * The image's configuration and the command line are put together as container engines do: a command replaces the
 * image's Cmd, not its Entrypoint. There is no PID namespace: as its PID 1, a command without signal handlers would
 * ignore Ctrl-C (pid_namespaces(7)).
 */
import { blazarError } from "../contracts/errors.ts";
import { commandOf, type ImageConfig } from "../oci/image.ts";

/** The configuration of a root that has none. */
export const NO_DEFAULTS: ImageConfig = { entrypoint: [], cmd: [], env: [], workingDir: "", user: "" };

/** The command line's part. */
export interface Wanted {
  readonly command: readonly string[];
  /** `K=V`; later ones win. */
  readonly env: readonly string[];
  readonly terminal: { readonly rows: number; readonly columns: number } | undefined;
  /** TERM for a terminal. */
  readonly term: string;
}

const PATH = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

const QUIET = ["nosuid", "noexec", "nodev"];
const MOUNTS = [
  { destination: "/proc", type: "proc", source: "proc", options: QUIET },
  { destination: "/dev", type: "tmpfs", source: "tmpfs", options: ["nosuid", "mode=755", "size=65536k"] },
  {
    destination: "/dev/pts",
    type: "devpts",
    source: "devpts",
    options: ["nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620", "gid=5"],
  },
  { destination: "/dev/shm", type: "tmpfs", source: "shm", options: [...QUIET, "mode=1777"] },
  { destination: "/dev/mqueue", type: "mqueue", source: "mqueue", options: QUIET },
  { destination: "/sys", type: "sysfs", source: "sysfs", options: [...QUIET, "ro"] },
];

/**
 * The spec. Throws InvalidArgument if neither the command line nor the image says what to run, UnsupportedSpec for an
 * image whose user is a name: only the image's own files know its number.
 */
export function composeSpec(wanted: Wanted, defaults: ImageConfig): unknown {
  const { terminal } = wanted;
  const user = userOf(defaults);
  return {
    ociVersion: "1.1.0",
    process: {
      terminal: terminal !== undefined,
      ...(terminal === undefined ? {} : { consoleSize: { height: terminal.rows, width: terminal.columns } }),
      user,
      args: commandLine(wanted.command, defaults),
      env: environment(wanted, defaults, user.uid === 0 ? "/root" : "/"),
      cwd: defaults.workingDir === "" ? "/" : defaults.workingDir,
    },
    root: { readonly: false },
    mounts: MOUNTS,
    linux: { namespaces: [{ type: "mount" }] },
  };
}

function commandLine(command: readonly string[], defaults: ImageConfig): string[] {
  const args = commandOf(defaults, command);
  if (args.length > 0) return args;
  const reason = "none is given, and the root has no default one";
  const remedy = "blazar run [OPTIONS] -- COMMAND [ARGS…]";
  throw blazarError("InvalidArgument", "run a command", reason, { remedy });
}

/** `uid` or `uid:gid`; root may be called by its name. */
function userOf({ user }: ImageConfig): { uid: number; gid: number } {
  const [, uid, gid] = /^(\d{1,10}|root)(?::(\d{1,10}|root))?$/.exec(user === "" ? "root" : user) ?? [];
  if (uid === undefined) {
    const reason = "its user is a name, and only the image's own files know its number";
    const remedy = "build the image with a numeric USER";
    throw blazarError("UnsupportedSpec", "run the image", reason, { subject: user, remedy });
  }
  const number = (text: string | undefined) => (text === undefined || text === "root" ? 0 : Number(text));
  return { uid: number(uid), gid: number(gid) };
}

/** One entry a name; the last one wins. */
function environment({ env, terminal, term }: Wanted, defaults: ImageConfig, home: string): string[] {
  const base = [PATH, `HOME=${home}`, ...(terminal === undefined ? [] : [`TERM=${term}`])];
  const byName = new Map<string, string>();
  for (const entry of [...base, ...defaults.env, ...env]) byName.set(entry.split("=", 1)[0] ?? entry, entry);
  return [...byName.values()];
}

/**
 * `blazar install`: writes containerd's drop-in, and says what is left to be done. It changes no file of containerd's own.
 */
import { mkdir, rename, writeFile } from "node:fs/promises";
import { dirname } from "node:path";
import { blazarError } from "../../contracts/errors.ts";
import type { Config } from "../../daemon/config/schema.ts";
import { controllerSocket } from "../../daemon/state-directories.ts";
import type { HostView } from "../doctor/check.ts";
import {
  type ContainerdFile,
  containerdFiles,
  dropInFile,
  importPattern,
  imports,
} from "../doctor/containerd-files.ts";
import { dropIn } from "./drop-in.ts";

/** Where the package has the stand-in for a shim. */
const SHIM = "/usr/bin/containerd-shim-blazar-v1";
const NEWEST = 3;
const OPERATION = "write containerd's drop-in";

export interface Installed {
  readonly file: string;
  /** Whether the file was made or changed. */
  readonly changed: boolean;
  /** Commands for the operator, in their order. */
  readonly left: readonly string[];
}

/** Throws InvalidConfig if containerd's configuration cannot be read as what it is. */
export async function installDropIn(
  host: Pick<HostView, "read" | "names">,
  config: Config,
  main: string,
): Promise<Installed> {
  const file = dropInFile(main);
  const files = await mainFiles(host, main, file);
  const version = files.length === 0 ? NEWEST : Math.max(...files.map((each) => each.version));
  if (version !== 2 && version !== 3)
    throw invalid(main, `it is of version ${version}`, "this version of Blazar knows 2 and 3");
  const { sandboxer } = config.daemon;
  const text = dropIn({ version, socket: controllerSocket(config), sandboxer, shim: SHIM });
  const changed = (await host.read(file)) !== text;
  if (changed) await replace(file, text);
  const imported = imports(files, file);
  const steps = imported ? [] : [importCommand(files, main)];
  return { file, changed, left: changed || !imported ? [...steps, "systemctl restart containerd"] : [] };
}

/**
 * Without the drop-in itself, which says nothing of what the others want. None: there is no main file, so containerd has its
 * defaults.
 */
async function mainFiles(
  host: Pick<HostView, "read" | "names">,
  main: string,
  own: string,
): Promise<readonly ContainerdFile[]> {
  if ((await host.read(main)) === undefined) return [];
  const files = await containerdFiles(host, main);
  if (typeof files === "string") throw invalid(main, files, "correct it, then run `blazar install` again");
  return files.filter(({ path }) => path !== own);
}

/** A key of the top comes before every table, so the first line is the place for it. */
function importCommand(files: readonly ContainerdFile[], main: string): string {
  const pattern = importPattern(main);
  const [first] = files;
  if (first === undefined) return `printf 'version = 3\\nimports = ["%s"]\\n' '${pattern}' > ${main}`;
  return "imports" in first.tables
    ? `add "${pattern}" to imports in ${main}`
    : `sed -i '1i imports = ["${pattern}"]' ${main}`;
}

async function replace(file: string, text: string): Promise<void> {
  try {
    await mkdir(dirname(file), { recursive: true });
    await writeFile(`${file}.new`, text, { mode: 0o644 });
    await rename(`${file}.new`, file);
  } catch (cause) {
    throw blazarError("HostResource", OPERATION, "it cannot be written", {
      ...{ subject: file, remedy: "run it as root", cause },
    });
  }
}

function invalid(subject: string, reason: string, remedy: string) {
  return blazarError("InvalidConfig", OPERATION, reason, { subject, remedy });
}

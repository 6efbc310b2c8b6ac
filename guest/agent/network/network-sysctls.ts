/**
 * Sysctls that the pod's network namespace has on the host: sysctl(8), by their paths below /proc/sys.
 *
 * One that is not told any more gets the value that it had before. Acts on the namespace that the caller is in.
 */
import * as sys from "sys";
import { failure } from "../../../native/runtime/check.ts";
import { readText } from "../../../native/runtime/files.ts";
import { blazarError } from "../../../src/contracts/errors.ts";
import type { PodNetwork } from "../../../src/contracts/pod-network.ts";

/** One of the network's, and nothing outside of it. */
const PATH = /^net\/(?!(.*\/)?\.\.(\/|$))/;

interface Setting {
  readonly value: string;
  /** What it was before it was set for the first time. */
  readonly before: string;
}

export class NetworkSysctls {
  private readonly settings = new Map<string, Setting>();

  /** Those that shall be set. Throws GuestFailed for the first that the kernel refuses, by name. */
  apply(wanted: NonNullable<PodNetwork["sysctls"]>): void {
    for (const name of [...this.settings.keys()]) if (wanted[name] === undefined) this.restore(name);
    for (const [name, value] of Object.entries(wanted))
      if (this.settings.get(name)?.value !== value) this.set(name, value);
  }

  private set(name: string, value: string): void {
    const operation = "set a sysctl as the pod's network namespace has it";
    if (!PATH.test(name))
      throw blazarError("InvalidArgument", operation, "it is none of the network's", { subject: name });
    const path = `/proc/sys/${name}`;
    const before = this.settings.get(name)?.before ?? readText(path);
    const result = sys.writeFile(path, value, sys.O_WRONLY);
    if (result < 0) throw failure(result, "GuestFailed", operation, `${name}=${value}`);
    this.settings.set(name, { value, before });
  }

  /** Those of a link may have gone with it. */
  private restore(name: string): void {
    sys.writeFile(`/proc/sys/${name}`, this.settings.get(name)?.before ?? "", sys.O_WRONLY);
    this.settings.delete(name);
  }
}

/**
 * A network namespace: one of the lab's own making, or any by its path (network_namespaces(7), nsenter(1)).
 *
 * One of our own lives as long as a process that waits for the end of its input: if this process dies, it goes as well.
 * Must not be entered by `ip netns exec`, which mounts a /sys without control groups.
 */
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { blazarError } from "../../src/contracts/errors.ts";
import { type Ended, runProgram, runToEnd } from "../host/program.ts";

export class NetworkNamespace {
  private constructor(
    /** A file of the namespace, as setns(2) takes it. */
    readonly path: string,
    private readonly holder?: ChildProcess,
  ) {}

  /** A new one, with its loopback up. Needs root. */
  static async make(): Promise<NetworkNamespace> {
    const script = "ip link set lo up && echo made && exec cat > /dev/null";
    const holder = spawn("unshare", ["--net", "--", "sh", "-c", script], {
      stdio: ["pipe", "pipe", "inherit"],
      detached: true,
    });
    const outcome = await Promise.race([
      once(holder.stdout, "data").then(() => true),
      once(holder, "exit").then(() => false),
    ]);
    if (!outcome) throw blazarError("HostResource", "make a network namespace", "unshare has failed");
    return new NetworkNamespace(`/proc/${holder.pid}/ns/net`, holder);
  }

  /** One that somebody else holds. */
  static at(path: string): NetworkNamespace {
    return new NetworkNamespace(path);
  }

  /** A process of it that lives as long as it; only one of our own making has one. */
  get pid(): number {
    return this.holder?.pid ?? 0;
  }

  /** What is put before a command to run it in here. The command keeps the process. */
  get prefix(): readonly string[] {
    return ["nsenter", `--net=${this.path}`, "--"];
  }

  /** Runs a program that must succeed; returns its output. */
  run(...words: string[]): Promise<string> {
    const [program = "", ...args] = [...this.prefix, ...words];
    return runProgram(program, args);
  }

  /** Runs lines of `ip -batch`, all or none of them known to have worked. */
  async ip(...lines: string[]): Promise<void> {
    const { code, stderr } = await runToEnd([...this.prefix, "ip", "-batch", "-"], {
      input: lines.join("\n"),
    });
    if (code !== 0)
      throw blazarError("HostResource", "configure a network namespace", stderr.trim(), {
        subject: lines.join("; "),
      });
  }

  /** Sets a sysctl of it; /proc/sys/net is the reader's own. */
  async write(sysctl: string, value: string): Promise<void> {
    await this.run("sh", "-c", 'echo "$1" > "$0"', `/proc/sys/${sysctl.replaceAll(".", "/")}`, value);
  }

  /** Runs a program whose end is what matters. */
  toEnd(...words: string[]): Promise<Ended> {
    return runToEnd([...this.prefix, ...words]);
  }

  /** Starts a program and leaves it to the caller. Its output is to be read. */
  start(...words: string[]): ChildProcess {
    const [program = "", ...args] = [...this.prefix, ...words];
    return spawn(program, args, { stdio: ["ignore", "pipe", "inherit"], detached: true });
  }

  /** Lets it go: it ends with the last process in it. Harmless twice. */
  async end(): Promise<void> {
    if (this.holder === undefined || this.holder.exitCode !== null || this.holder.signalCode !== null) return;
    const ended = once(this.holder, "exit");
    this.holder.kill("SIGKILL");
    await ended;
  }
}

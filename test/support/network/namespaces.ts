/**
 * Network namespaces of a test's own, and ip(8), tc(8) and CNI plugins in them.
 *
 * They have unique names below /run/netns, and are removed with {@link Namespaces.close}. Nothing of the host's own network is
 * touched. `nsenter`, because `ip netns exec` hides the mounts of cgroups.
 */
import { execFileSync, spawnSync } from "node:child_process";
import { randomBytes } from "node:crypto";

/** Where Debian's containernetworking-plugins puts them. */
const PLUGINS = "/usr/lib/cni";
const STEP_MS = 20_000;

export class TestNamespace {
  readonly path: string;

  constructor(readonly name: string) {
    this.path = `/run/netns/${name}`;
  }

  /** `ip` with these words. */
  ip(words: string): void {
    this.run("ip", words.split(" "));
  }

  /** What `ip -j` says. */
  // biome-ignore lint/suspicious/noExplicitAny: a test reads the fields that it knows
  ipJson(words: string): any {
    return JSON.parse(this.run("ip", ["-j", ...words.split(" ")]) || "[]");
  }

  tc(words: string): string {
    return this.run("tc", words.split(" "));
  }

  /** A program in the namespace. Throws with what it says. */
  run(
    program: string,
    words: readonly string[],
    input?: { text: string; env?: Record<string, string> },
  ): string {
    const { status, stdout, stderr } = spawnSync("nsenter", [`--net=${this.path}`, program, ...words], {
      encoding: "utf8",
      timeout: STEP_MS,
      input: input?.text ?? "",
      env: { ...process.env, ...input?.env },
    });
    if (status === 0) return stdout;
    throw new Error(`${program} ${words.join(" ")}: ${stderr || stdout}`);
  }
}

/** The namespaces of one test file. */
export class Namespaces {
  private readonly made: TestNamespace[] = [];

  make(what: string): TestNamespace {
    const namespace = new TestNamespace(`blz-${what}-${randomBytes(4).toString("hex")}`);
    execFileSync("ip", ["netns", "add", namespace.name]);
    this.made.push(namespace);
    namespace.ip("link set lo up");
    return namespace;
  }

  /** Two with a pair of links between them, `eth0` in the first one. */
  pair(): { pod: TestNamespace; outside: TestNamespace } {
    const pod = this.make("pod");
    const outside = this.make("out");
    pod.ip(`link add eth0 type veth peer name out0 netns ${outside.name}`);
    outside.ip("link set out0 up");
    pod.ip("link set eth0 up");
    return { pod, outside };
  }

  remove(namespace: TestNamespace): void {
    spawnSync("ip", ["netns", "del", namespace.name]);
  }

  close(): void {
    for (const namespace of this.made.splice(0)) this.remove(namespace);
  }
}

/** Runs a chain of CNI plugins as containerd does: each gets the result of the one before. */
export class CniChain {
  private previous: unknown;

  constructor(
    /** Where the plugins' ends of the links are. */
    private readonly host: TestNamespace,
    private readonly pod: TestNamespace,
    private readonly plugins: readonly Record<string, unknown>[],
    private readonly link = "eth0",
  ) {}

  /** Throws what a plugin says. */
  add(): void {
    for (const plugin of this.plugins) this.previous = JSON.parse(this.call("ADD", plugin));
  }

  check(): void {
    for (const plugin of this.plugins) this.call("CHECK", plugin);
  }

  remove(): void {
    for (const plugin of this.plugins.toReversed()) this.call("DEL", plugin);
  }

  private call(command: string, plugin: Record<string, unknown>): string {
    const text = JSON.stringify({
      cniVersion: "1.0.0",
      name: this.host.name,
      ...plugin,
      ...(this.previous === undefined ? {} : { prevResult: this.previous }),
    });
    const env = {
      CNI_COMMAND: command,
      CNI_CONTAINERID: this.pod.name,
      CNI_NETNS: this.pod.path,
      CNI_IFNAME: this.link,
      CNI_PATH: PLUGINS,
    };
    return this.host.run(`${PLUGINS}/${plugin["type"]}`, [], { text, env });
  }
}

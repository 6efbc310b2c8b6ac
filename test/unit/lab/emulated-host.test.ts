/** An emulated host: its command line, QEMU's, the text of a run, and how its streams end. */
import { execFile } from "node:child_process";
import { mkdtemp, readdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { PassThrough, Readable } from "node:stream";
import { text } from "node:stream/consumers";
import { promisify } from "node:util";
import { fc, test } from "@fast-check/vitest";
import { describe, expect, it } from "vitest";
import { BOOT_SECONDS, readHostRequest } from "../../../lab/emulated-host/arguments.ts";
import { type HostMachine, qemuArguments, STREAMS } from "../../../lab/emulated-host/command-line.ts";
import { EndedStream } from "../../../lab/emulated-host/ended-stream.ts";
import { type Job, jobText, quoted } from "../../../lab/emulated-host/job.ts";
import { keptModules } from "../../../lab/emulated-host/kernel.ts";
import { LastLines } from "../../../lab/emulated-host/last-lines.ts";
import { told } from "../../../lab/emulated-host/told.ts";
import { repoRoot } from "../../../setup/lib/paths.ts";
import { isMisuse } from "../../../src/contracts/misuse.ts";
import { temporaryDirectory } from "../../support/temporary-directory.ts";

const run = promisify(execFile);

describe("the command line of an emulated host", () => {
  it("asks for a plain host and a shell unless told otherwise", () => {
    const request = readHostRequest({}, []);
    expect(request).toMatchObject({ kind: "plain", output: undefined, verbose: false });
    expect(request.command.join(" ")).toContain("exec sh -i");
    expect(request.bootMs).toBe(BOOT_SECONDS.plain * 1000);
    expect(request.memoryBytes).toBeGreaterThan(0);
  });

  it("takes sizes, counts and a place for results", () => {
    const flags = { systemd: true, memory: "3G", cpus: "4", output: "out", bootDeadline: "7" };
    expect(readHostRequest(flags, ["ls", "-l"])).toEqual({
      ...{ kind: "systemd", memoryBytes: 3 * 2 ** 30, cpus: 4, bootMs: 7000, verbose: false },
      ...{ output: join(process.cwd(), "out"), command: ["ls", "-l"] },
    });
  });

  it.each([
    [{ memory: "much" }, "--memory"],
    [{ memory: "100M" }, "--memory"],
    [{ cpus: "0" }, "--cpus"],
    [{ cpus: "1.5" }, "--cpus"],
    [{ cpus: "65" }, "--cpus"],
    [{ bootDeadline: "soon" }, "--boot-deadline"],
  ])("names the option that is wrong: %j", (flags, option) => {
    const refused = () => readHostRequest(flags, []);
    expect(refused).toThrow(option);
    try {
      refused();
    } catch (error) {
      expect(isMisuse(error)).toBe(true);
    }
  });
});

describe("QEMU of an emulated host", () => {
  const machine: HostMachine = {
    ...{ vmlinux: "/c/vmlinux", initramfs: "/c/init", memoryBytes: 2 ** 31, cpus: 2 },
    ...{ image: undefined, output: undefined, tscKhz: 2_600_000 },
  };
  const words = (changed: Partial<HostMachine> = {}) => qemuArguments({ ...machine, ...changed }).join(" ");

  it("emulates a processor with AMD-V, without a network, and sees the machine read-only", () => {
    expect(words()).toContain("-accel tcg");
    expect(words()).toContain("-cpu max,");
    expect(words()).toContain("-nic none");
    expect(words()).toContain("local,id=machine,path=/,security_model=none,multidevs=remap,readonly=on");
    expect(words()).toContain("tsc_early_khz=2600000 tsc=reliable");
    expect(words({ tscKhz: undefined })).not.toContain("tsc_early_khz");
    expect(words()).not.toContain("virtio-blk");
    expect(words()).not.toContain("id=output");
  });

  it("inherits a socket for each stream, and opens none", () => {
    for (const [index, { name }] of STREAMS.entries())
      expect(words()).toContain(`socket,id=${name},fd=${3 + index}`);
    expect(words().match(/-chardev/g)).toHaveLength(STREAMS.length);
    expect(words()).not.toMatch(/unix:|path=\/(?!,)/);
  });

  it("has the image of a Debian read-only, and a directory for results that it may write to", () => {
    expect(words({ image: "/c/a,b" })).toContain("readonly=on,file=/c/a,,b");
    expect(words({ output: "/r" })).toContain(
      "local,id=output,path=/r,security_model=none,multidevs=remap -",
    );
  });
});

describe("the text of a run", () => {
  const job: Job = {
    request: { kind: "plain", command: ["echo", "a b", "it's"], output: undefined },
    ...{ checkout: "/src/blazar", cache: "/cache", directory: "/src/blazar/sub dir", node: "/usr/bin/node" },
    kernel: { release: "6.1", modules: "/cache/modules/6.1" },
    environment: { PATH: "/bin", HOME: "/home/x", BLAZAR_FOO: "$(touch no)", SECRET: "s", http_proxy: "p" },
    ...{ window: undefined, end: "e0d" },
  };
  async function read(text: string, expression: string): Promise<string> {
    const file = join(await temporaryDirectory(), "job");
    await writeFile(file, `${text}\nprintf %s "${expression}"`);
    return (await run("sh", [file])).stdout;
  }

  it("means the same to a shell, whatever is in it", async () => {
    expect(await read(jobText(job), "$CHECKOUT $CACHE $KIND $END $TERMINAL")).toBe(
      "/src/blazar /cache plain e0d 0",
    );
    const directory = await mkdtemp(join(await temporaryDirectory(), "it's $HOME "));
    const command = [
      "sh",
      "-c",
      'printf "%s|" "$PWD" "$BLAZAR_FOO" "$BLAZAR_CACHE" "$@"',
      "sh",
      "a b",
      "it's",
    ];
    const given = { ...job, directory, request: { ...job.request, command } };
    const script = await read(jobText(given), "$COMMAND");
    const { stdout } = await run("sh", ["-c", script]);
    expect(stdout).toBe(`${directory}|$(touch no)|/cache|a b|it's|`);
  });

  it("passes what tools of the checkout look at, and nothing else of the environment", () => {
    const text = jobText(job);
    expect(text).toContain("export BLAZAR_ROOT=");
    expect(text).toContain("export PATH=");
    expect(text).not.toMatch(/SECRET|http_proxy/);
    const systemd = jobText({ ...job, request: { ...job.request, kind: "systemd" } });
    expect(systemd).not.toMatch(/\/home\/x|export PATH/);
    expect(systemd).toContain("export HOME=/root");
  });

  it("tells the size of a terminal", async () => {
    const text = jobText({ ...job, window: { rows: 40, columns: 132 } });
    expect(await read(text, "$TERMINAL $ROWS $COLUMNS")).toBe("1 40 132");
  });

  test.prop([fc.string({ unit: "grapheme" }).filter((word) => !word.includes("\0"))], {
    numRuns: 20,
  })("a quoted word is that word", async (word) => {
    expect((await run("sh", ["-c", `printf %s ${quoted(word)}`])).stdout).toBe(word);
  });
});

describe("a stream that ends with a word", () => {
  test.prop([fc.array(fc.stringMatching(/^[xyEND]{0,6}$/)), fc.nat(12)])(
    "passes on all before the word, however it is cut, and nothing after it",
    async (pieces, size) => {
      const before = pieces.join("").replaceAll("END.", "");
      const bytes = Buffer.from(`${before}END.after`);
      const chunks: Buffer[] = [];
      for (let at = 0; at < bytes.length; at += size + 1) chunks.push(bytes.subarray(at, at + size + 1));
      const output = new EndedStream("END.");
      const port = new PassThrough();
      port.pipe(output);
      for (const chunk of chunks) port.write(chunk);
      // the port stays open
      expect(await text(output)).toBe(before);
    },
  );

  it("passes on what looked like the word when it breaks off", async () => {
    expect(await text(Readable.from([Buffer.from("abcEN")]).pipe(new EndedStream("END")))).toBe("abcEN");
  });
});

describe("what an emulated host says", () => {
  it("is up, and then an exit status", async () => {
    const port = new PassThrough();
    const { up, exit } = told(port);
    port.write("noise\nu");
    port.write("p\nexit nonsense\nexit 143\n");
    await expect(up).resolves.toBeUndefined();
    await expect(exit).resolves.toBe(143);
  });

  it("is kept up to a bound, and cannot steer a terminal", () => {
    const lines = new LastLines();
    lines.add(Buffer.from(`${"x".repeat(20_000)}\r\n\r\none\ntwo\u001b[2J`));
    expect(lines.last(2)).toEqual(["one", "two"]);
    expect(lines.last(100)[0]?.length).toBeLessThan(10_000);
  });
});

describe("the modules of an emulated host", () => {
  it("are those of a node without hardware, with what they depend on", () => {
    const table = [
      "kernel/fs/9p/9p.ko: kernel/net/9p/9pnet.ko kernel/drivers/misc/far.ko",
      "kernel/drivers/gpu/drm/i915.ko: kernel/drivers/misc/other.ko",
      "kernel/drivers/net/tun.ko:",
      "kernel/drivers/net/ethernet/e1000.ko:",
      "kernel/drivers/net/vxlan/vxlan.ko:",
      "",
    ].join("\n");
    expect(keptModules(table)).toEqual([
      ...["kernel/drivers/misc/far.ko", "kernel/drivers/net/tun.ko", "kernel/drivers/net/vxlan/vxlan.ko"],
      ...["kernel/fs/9p/9p.ko", "kernel/net/9p/9pnet.ko"],
    ]);
  });
});

describe("the scripts of an emulated host", () => {
  it("are shell", async () => {
    const directory = join(repoRoot(), "lab", "emulated-host", "guest");
    const scripts = (await readdir(directory)).filter((name) => name.endsWith(".sh"));
    expect(scripts).toContain("init.sh");
    for (const name of scripts) await run("sh", ["-n", join(directory, name)]);
  });
});

/** One directory of the host as a volume of two VMs: each sees at once what the others do, and locks hold between all. */
import { execFile, execFileSync } from "node:child_process";
import { existsSync, readFileSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { mkdir } from "node:fs/promises";
import { join } from "node:path";
import { promisify } from "node:util";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { QemuBench } from "../../support/bench/qemu.ts";
import { RunningGuest } from "../../support/bench/running-guest.ts";
import { containerCreate, sandboxSetup } from "../../support/guest-requests.ts";
import { buildVolumeProbe } from "../../support/volume-probe/build.ts";

const VOLUME = { type: "shared", source: "v", destination: "/v", options: ["rbind", "rw"] };
const TIMES = 25;
const WAIT_MS = 60_000;

/** A container in one of the VMs, in which scripts run. */
class Place {
  private constructor(private readonly guest: RunningGuest) {}

  private runs = 0;

  static async of(bench: QemuBench, id: string, share: string): Promise<Place> {
    const spec = await bench.spec(id);
    const vm = await bench.driver.launch(spec);
    const guest = await RunningGuest.of(vm);
    await guest.ask("sandbox.setup", sandboxSetup());
    await bench.serve(vm, spec, "volumes", share);
    await guest.ask("share.mount", { share: "volumes" });
    return new Place(guest);
  }

  run(script: string): Promise<number> {
    const { mounts } = containerCreate("c", []);
    return this.guest.run(`c${this.runs++}`, ["sh", "-c", script], { mounts: [...mounts, VOLUME] });
  }
}

describe("a directory of the host that two VMs have as a volume", () => {
  let bench: QemuBench;
  let places: readonly [Place, Place];
  let directory: string;
  const file = (name: string): string => join(directory, name);
  const onHost = async (...words: string[]): Promise<number> => {
    const [command = "", name = "", ...rest] = words;
    const run = promisify(execFile)(file("probe"), [command, file(name), ...rest]);
    return run.then(
      () => 0,
      (error: { code: number }) => error.code,
    );
  };

  beforeAll(async () => {
    bench = await QemuBench.start();
    const share = join(bench.directory, "shares", "both");
    directory = join(share, "v");
    await mkdir(directory, { recursive: true });
    await buildVolumeProbe(directory);
    places = [await Place.of(bench, "one", share), await Place.of(bench, "two", share)];
  }, 180_000);
  afterAll(() => bench.dispose());

  async function there(name: string): Promise<void> {
    await expect.poll(() => existsSync(file(name)), { timeout: WAIT_MS }).toBe(true);
  }

  it("is the same for the host and both", async () => {
    const [one, two] = places;
    writeFileSync(file("note"), "first\n");
    expect(await one.run("grep -q first /v/note && echo second > /v/note && mkdir /v/made")).toBe(0);
    expect(readFileSync(file("note"), "utf8")).toBe("second\n");
    expect(await two.run("grep -q second /v/note && test -d /v/made && rm /v/note")).toBe(0);
    expect(existsSync(file("note"))).toBe(false);
    expect(await one.run("test ! -e /v/note")).toBe(0);
  });

  it("shows a change to who has read the file before and has it open", async () => {
    const [one, two] = places;
    writeFileSync(file("open"), "before\n");
    const script = `exec 3</v/open; read line <&3; echo $line > /v/read
      until [ -e /v/changed ]; do sleep 0.1; done
      read line <&3 && [ "$line" = after ]`;
    const reading = one.run(script);
    await there("read");
    expect(await two.run("echo after >> /v/open; touch /v/changed")).toBe(0);
    expect(await reading).toBe(0);
  });

  it("swaps a file under its name, as the host does it", async () => {
    const [one] = places;
    writeFileSync(file("current"), "old\n");
    expect(await one.run("grep -q old /v/current")).toBe(0);
    writeFileSync(file("next"), "new\n");
    renameSync(file("next"), file("current"));
    expect(await one.run("grep -q new /v/current")).toBe(0);
  });

  it.each(["flock", "fcntl"])("locks a file for all of them by %s", async (kind) => {
    const [one, two] = places;
    const name = `locked-${kind}`;
    const holding = one.run(`/v/probe hold /v/${name} ${kind}`);
    await there(`${name}.held`);
    expect(await two.run(`/v/probe try /v/${name} ${kind}`)).toBe(1);
    expect(await onHost("try", name, kind)).toBe(1);
    // a waiter keeps nobody from using the volume
    const waiting = two.run(`/v/probe wait /v/${name} ${kind}`);
    expect(await two.run(`/v/probe late /v/${name} ${kind} 1`)).toBe(0);
    expect(existsSync(file(`${name}.got`))).toBe(false);
    writeFileSync(file(`${name}.go`), "");
    expect(await holding).toBe(0);
    expect(await waiting).toBe(0);
    expect(await onHost("try", name, kind)).toBe(0);
  });

  it.each(["flock", "fcntl"])("lets the host's %s keep a guest out", async (kind) => {
    const [one] = places;
    const name = `host-${kind}`;
    const holding = onHost("hold", name, kind);
    await there(`${name}.held`);
    expect(await one.run(`/v/probe try /v/${name} ${kind}`)).toBe(1);
    writeFileSync(file(`${name}.go`), "");
    expect(await holding).toBe(0);
    expect(await one.run(`/v/probe try /v/${name} ${kind}`)).toBe(0);
  });

  it.each(["flock", "fcntl"])("counts right when all count at once under %s", async (kind) => {
    const name = `count-${kind}`;
    writeFileSync(file(name), "0\n");
    const counting = places.map((place) => place.run(`/v/probe count /v/${name} ${kind} ${TIMES}`));
    expect(await onHost("count", name, kind, String(TIMES))).toBe(0);
    expect(await Promise.all(counting)).toEqual([0, 0]);
    expect(readFileSync(file(name), "utf8")).toBe(`${3 * TIMES}\n`);
  });

  it("keeps every line when all append at once", async () => {
    writeFileSync(file("lines"), "");
    const [one, two] = places;
    const appending = [
      one.run(`/v/probe append /v/lines one ${TIMES}`),
      two.run(`/v/probe append /v/lines two ${TIMES}`),
    ];
    expect(await onHost("append", "lines", "host", String(TIMES))).toBe(0);
    expect(await Promise.all(appending)).toEqual([0, 0]);
    const lines = readFileSync(file("lines"), "utf8").trimEnd().split("\n");
    const count = (word: string) => lines.filter((line) => line === word).length;
    expect([count("one"), count("two"), count("host"), lines.length]).toEqual([
      TIMES,
      TIMES,
      TIMES,
      3 * TIMES,
    ]);
  });

  it("shows to a mapping what the host writes, once the file is read", async () => {
    const [one] = places;
    writeFileSync(file("mapped"), Buffer.alloc(4096));
    const mapping = one.run("/v/probe map /v/mapped - 7");
    await expect.poll(() => readFileSync(file("mapped"))[0], { timeout: WAIT_MS }).toBe(7);
    const bytes = Buffer.alloc(4096, 0);
    bytes.set([7, 7]);
    writeFileSync(file("mapped"), bytes, { flag: "r+" });
    expect(await mapping).toBe(0);
  });

  it("keeps holes, names of any bytes and times", async () => {
    const [one] = places;
    const script = `truncate -s 64M /v/sparse && echo end >> /v/sparse && touch -d @1700000000 /v/sparse
      mkdir -p /v/names && touch "/v/names/$(printf 'a\\377b')" "/v/names/$(printf '%0255d' 7)" && ls /v/names | wc -l > /v/count`;
    expect(await one.run(script)).toBe(0);
    expect(readFileSync(file("count"), "utf8").trim()).toBe("2");
    const [blocks = "", time = ""] = execFileSync("stat", ["-c", "%b %.9Y", file("sparse")], {
      encoding: "utf8",
    })
      .trim()
      .split(" ");
    expect(Number(blocks)).toBeLessThan(1000);
    expect(time).toMatch(/^1700000000\./);
    rmSync(file("sparse"));
  });
});

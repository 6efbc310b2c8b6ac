import { describe, expect, it } from "vitest";
import { Figures } from "../../../../src/observe/inspection/figures.ts";
import { Shortages } from "../../../../src/observe/inspection/shortages.ts";
import { CalmHost } from "./world.ts";

async function shortagesOf(change: (host: CalmHost) => void): Promise<readonly string[]> {
  const host = new CalmHost();
  change(host);
  const shortages = new Shortages({ "daemon.state_directory": "/state" }, () => 1, host);
  await shortages.look();
  return shortages.list();
}

const psi = (share: number) => `some avg10=${share} avg60=1.00 avg300=0.00 total=1\nfull avg10=9.00\n`;

describe("what the host is short of", () => {
  it("is nothing on a calm host, and on one whose kernel tells nothing", async () => {
    expect(await shortagesOf(() => undefined)).toEqual([]);
    const calm = (host: CalmHost) => void host.files.set("/proc/pressure/cpu", psi(19.9));
    expect(await shortagesOf(calm)).toEqual([]);
  });

  it.each([
    ["cpu", "the processors"],
    ["memory", "memory"],
    ["io", "the disks"],
  ])("is %s where tasks wait for it", async (name, what) => {
    expect(await shortagesOf((host) => void host.files.set(`/proc/pressure/${name}`, psi(34.2)))).toEqual([
      `the host is short of ${what}: tasks waited for 34 % of the last 10.0 s`,
    ]);
  });

  it("is memory, space, inodes or process ids, with how much is left", async () => {
    expect(
      await shortagesOf((host) =>
        host.files.set("/proc/meminfo", "MemTotal: 8000000 kB\nMemAvailable: 80000 kB\n"),
      ),
    ).toEqual(["the host has 78 MiB of memory left (1.0 %)"]);
    expect(await shortagesOf((host) => Object.assign(host, { free: 2 ** 20 }))).toEqual([
      "the file system of daemon.state_directory (/state) has 1 MiB left (0.0 %)",
    ]);
    expect(await shortagesOf((host) => Object.assign(host, { freeFiles: 3 }))).toEqual([
      "the file system of daemon.state_directory (/state) has 3 inodes left",
    ]);
    expect(
      await shortagesOf((host) => {
        host.files.set("/proc/sys/kernel/pid_max", "1000\n");
        host.files.set("/proc/loadavg", "0.1 0.2 0.3 4/950 77\n");
      }),
    ).toEqual(["the host has 950 of 1000 process ids in use"]);
  });

  it("is told of a file system that does not answer, and nobody waits for it", async () => {
    const host = new CalmHost();
    let now = 1;
    let asked = 0;
    host.space = () => {
      asked += 1;
      return new Promise(() => undefined);
    };
    const shortages = new Shortages({ "image.directory": "/images" }, () => now, host);
    expect(shortages.list()).toEqual([]);
    await shortages.look();
    now = 5_001;
    expect(shortages.list()).toEqual([
      "the file system of image.directory (/images) has not answered for 5.0 s",
    ]);
    shortages.keepRecent();
    expect(asked).toBe(1);
  });

  it("is looked at once a second, however often it is asked", () => {
    const host = new CalmHost();
    let now = 1;
    const shortages = new Shortages({}, () => now, host);
    expect(shortages.list()).toEqual([]);
    host.files.set("/proc/pressure/io", psi(50));
    expect(shortages.list()).toEqual([]);
    now = 2_000;
    expect(shortages.list()).toHaveLength(1);
  });
});

describe("figures", () => {
  it("are the nearest ranks of the last times", () => {
    const figures = new Figures();
    for (let ms = 1; ms <= 100; ms++) figures.add("start", ms);
    expect(figures.of("start")).toEqual({ step: "start", count: 100, p50: 50, p99: 99 });
    for (let count = 0; count < 256; count++) figures.add("start", 7);
    expect(figures.all).toEqual([{ step: "start", count: 256, p50: 7, p99: 7 }]);
    expect(figures.of("other")).toBeUndefined();
  });
});

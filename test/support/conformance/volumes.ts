/** What every HostVolumes does, the one in memory included: looking, reading, watching, binding, writing back. */
import { beforeEach, expect, test, vi } from "vitest";
import type { HostVolumes, VolumeEntry, VolumeRequest } from "../../../src/contracts/volumes.ts";

/** A host that a test can change. Paths are those of a kubelet's pod. */
export interface VolumeBench {
  readonly volumes: HostVolumes;
  /** A projected volume in one of its states, each of which has one file `token`. */
  projected(state: string, token: string): Promise<string>;
  terminationLog(): Promise<string>;
  /** Puts another file in the place of one. */
  replace(path: string): Promise<void>;
  directory(): Promise<string>;
  /** What the host's file has. */
  read(path: string): Promise<string>;
  /** A place for binds, and what is bound there. */
  target(name: string): string;
  bound(): Promise<readonly string[]>;
}

function asked(source: string, more: Partial<VolumeRequest> = {}): VolumeRequest {
  const place = { field: "mounts[0]", destination: "/d" };
  return { ...place, source, readonly: false, recursive: true, slave: false, idmapped: false, ...more };
}

/** @param binds whether this host may mount */
export function describeVolumes(make: () => Promise<VolumeBench>, binds: boolean): void {
  let bench: VolumeBench;

  beforeEach(async () => {
    bench = await make();
  });

  test("a projected volume is planned with its entries, parents first, links as links", async () => {
    const source = await bench.projected("one", "first");
    const [plan] = await bench.volumes.plan([asked(source, { readonly: true })], "vm");
    if (plan?.kind !== "copied") throw new Error(`it is ${plan?.kind}`);
    expect(plan).toMatchObject({ source, followed: true });
    const shown = plan.entries.map(({ path, type }) => `${type} ${path}`);
    expect(shown[0]).toBe("directory ");
    expect(shown.indexOf("directory ..one")).toBeLessThan(shown.indexOf("file ..one/token"));
    expect(entry(plan.entries, "..data")).toMatchObject({ type: "link", content: "..one" });
    expect(text(entry(plan.entries, "..one/token"))).toBe("first");
  });

  test("each state of a volume has versions of its own, and is told once to whoever watches", async () => {
    const source = await bench.projected("one", "first");
    const before = (await bench.volumes.read(source)) ?? [];
    const changed = vi.fn();
    const news = { changed, blind: vi.fn() };
    const watch = bench.volumes.watch(source, before[0]?.version ?? "", news);
    await bench.projected("two", "second");
    await vi.waitFor(() => expect(changed).toHaveBeenCalled());
    const after = (await bench.volumes.read(source)) ?? [];
    expect(text(entry(after, "..two/token"))).toBe("second");
    expect(entry(after, "").version).not.toBe(entry(before, "").version);
    watch.close();
    changed.mockClear();
    await bench.projected("three", "third");
    await new Promise((resolve) => setTimeout(resolve, 50));
    expect(changed).not.toHaveBeenCalled();
    expect(news.blind).not.toHaveBeenCalled();
  });

  test("a watch of what is not of that version any more tells so at once", async () => {
    const source = await bench.projected("one", "first");
    const [root] = (await bench.volumes.read(source)) ?? [];
    await bench.projected("two", "second");
    const changed = vi.fn();
    const watch = bench.volumes.watch(source, root?.version ?? "", { changed, blind: vi.fn() });
    await vi.waitFor(() => expect(changed).toHaveBeenCalled());
    watch.close();
  });

  test("a termination log is written back, whole", async () => {
    const log = await bench.terminationLog();
    const [plan] = await bench.volumes.plan([asked(log)], "vm");
    expect(plan).toMatchObject({
      kind: "file",
      writtenBack: true,
      entry: { path: "", type: "file", content: "" },
    });
    const version = plan?.kind === "file" ? plan.entry.version : "";
    await bench.volumes.writeBack(log, version, Buffer.from("long last words"));
    await bench.volumes.writeBack(log, version, Buffer.from("short"));
    expect(await bench.read(log)).toBe("short");
    await bench.replace(log);
    const other = bench.volumes.writeBack(log, version, Buffer.from("to another file"));
    await expect(other).rejects.toMatchObject({ code: "StorageFailed" });
    expect(await bench.read(log)).not.toContain("another");
  });

  test("what is no file is not written to, and nothing is made", async () => {
    const directory = await bench.directory();
    for (const path of [directory, `${directory}/missing`])
      await expect(bench.volumes.writeBack(path, "0:1:1:0", Buffer.from("x"))).rejects.toMatchObject({
        code: "StorageFailed",
      });
  });

  test("several sources are planned in one go, and one that cannot be had fails them all by name", async () => {
    const [directory, log] = [await bench.directory(), await bench.terminationLog()];
    const plans = await bench.volumes.plan(
      [asked(directory), asked(log), asked(directory, { readonly: true })],
      "vm",
    );
    expect(plans.map(({ kind }) => kind)).toEqual(["shared", "file", "shared"]);
    const missing = asked(`${directory}/missing`, { field: "mounts[4]" });
    await expect(bench.volumes.plan([asked(directory), missing], "vm")).rejects.toMatchObject({
      code: "UnsupportedSpec",
      details: { subject: `mounts[4]: ${directory}/missing at /d` },
    });
    expect(await bench.volumes.plan([], "vm")).toEqual([]);
  });

  test.runIf(binds)("a bind is there until it is taken away, which may be asked twice", async () => {
    const [source, target] = [await bench.directory(), bench.target("v1")];
    const how = { directory: true, readonly: true, recursive: true, slave: false };
    await bench.volumes.mount({ source, target, ...how });
    expect(await bench.bound()).toEqual([target]);
    await bench.volumes.unmount({ target });
    await bench.volumes.unmount({ target });
    expect(await bench.bound()).toEqual([]);
  });
}

function entry(entries: readonly VolumeEntry[], path: string): VolumeEntry {
  const found = entries.find((each) => each.path === path);
  if (found === undefined) throw new Error(`there is no ${path}`);
  return found;
}

function text({ content }: VolumeEntry): string {
  return Buffer.from(content, "base64").toString();
}

/** Bundles, and recordings that are stepped through. */
import { Readable } from "node:stream";
import { extract } from "tar-stream";
import { describe, expect, it } from "vitest";
import { type BundleExtras, bundleFiles, bundleName, tarOf } from "../../../src/console/bundle/bundle.ts";
import { readRecording } from "../../../src/console/replay/file.ts";
import { instantsOf, momentAfter } from "../../../src/console/replay/instants.ts";
import { moved } from "../../../src/console/replay/live.ts";
import { replayLines, replayPage, replaySteps } from "../../../src/console/replay/page.ts";
import { plainScreen } from "../../../src/console/screen.ts";
import { greatest } from "../../../src/console/tables/table.ts";
import type { SandboxDetail } from "../../../src/contracts/inspection.ts";
import { asked } from "../../support/fake-inspection/asked.ts";
import { populatedInspection } from "../../support/fake-inspection/population.ts";

const fake = populatedInspection();
const daemon = asked(fake);
const EXTRAS: BundleExtras = {
  now: fake.now(),
  versions: { blazar: "0.1.0", node: "20", kernel: "6.1" },
  config: { vmm: { vcpus: 1 } },
  findings: [],
};
const NO_JOURNAL = () => undefined;

async function detail(name: string): Promise<SandboxDetail> {
  const summary = fake.list().find(({ pod }) => pod.name.startsWith(name));
  return await daemon.get(summary?.id ?? "");
}

async function namesIn(tar: Buffer): Promise<Map<string, string>> {
  const reader = extract();
  Readable.from([tar]).pipe(reader);
  const found = new Map<string, string>();
  for await (const file of reader) {
    let text = "";
    for await (const part of file) text += Buffer.from(part as Uint8Array).toString();
    found.set(file.header.name, text);
  }
  return found;
}

describe("a bundle", () => {
  it("has all that a report needs, in a directory of its own", async () => {
    const web = await detail("web");
    const files = await bundleFiles(daemon, web.summary.id, EXTRAS);
    const name = bundleName(web);
    const found = await namesIn(await tarOf(name, files, EXTRAS.now));
    const logs = ["logs/agent.log", "logs/console.log", "logs/vmm.log"];
    const parts = [
      "charts.json",
      "config.json",
      "detail.json",
      "doctor.json",
      "node.json",
      "timeline.txt",
      "usage.json",
    ];
    expect([...found.keys()].sort()).toEqual(
      [...parts, "manifest.json", "why.txt", ...logs].map((each) => `${name}/${each}`).sort(),
    );
    expect(JSON.parse(found.get(`${name}/detail.json`) ?? "")).toEqual(web);
    expect(JSON.parse(found.get(`${name}/manifest.json`) ?? "")).toMatchObject({ layout: 1, missing: {} });
  });

  it("has what can be had, and says why the rest is missing", async () => {
    const { id } = (await detail("web")).summary;
    const broken = { ...daemon, node: () => Promise.reject(new Error("it hangs")) };
    const files = await bundleFiles(broken, id, EXTRAS);
    expect(files.has("node.json")).toBe(false);
    const manifest = JSON.parse(Buffer.from(files.get("manifest.json") ?? []).toString());
    expect(manifest.missing).toEqual({ "node.json": "it hangs" });
    expect(manifest.files).toContain("detail.json");
  });

  it("has a plain name, whatever the pod is called", async () => {
    expect(bundleName(await detail("evil"))).toMatch(/^[A-Za-z0-9._-]+$/);
  });
});

describe("a recording", () => {
  it("is read from a bundle and from a detail", async () => {
    const cold = await detail("cold");
    const tar = await tarOf("x", await bundleFiles(daemon, cold.summary.id, EXTRAS), EXTRAS.now);
    expect((await readRecording("x.tar", tar, NO_JOURNAL)).history).toEqual(cold.history);
    const json = Buffer.from(JSON.stringify(cold));
    expect((await readRecording("x.json", json, NO_JOURNAL)).history).toEqual(cold.history);
  });

  it("is refused if it is something else, with what is wrong", async () => {
    const read = (text: string) => readRecording("f", Buffer.from(text), NO_JOURNAL);
    await expect(read("hello")).rejects.toThrow(/it is no bundle, no detail in JSON and no journal/);
    await expect(read('{"summary":{}}')).rejects.toThrow(/summary.id is not as it should be/);
    const empty = await tarOf("x", new Map([["a", new Uint8Array()]]), 0);
    await expect(readRecording("f", empty, NO_JOURNAL)).rejects.toThrow(/a tar without a detail.json/);
    await expect(read("null")).rejects.toThrow(/it is no detail of a sandbox/);
    const tar = await tarOf("x", new Map([["detail.json", new Uint8Array(2_000)]]), 0);
    await expect(readRecording("f", tar.subarray(0, 700), NO_JOURNAL)).rejects.toThrow(
      /\(f\): it is a broken tar/,
    );
  });

  it("shows how things were at each instant, forwards and back", async () => {
    const recording = await detail("adopting");
    const instants = instantsOf(recording);
    const states = instants.map((_, index) => momentAfter(instants, index).state);
    expect([...new Set(states)]).toEqual([
      "",
      "creating",
      "created",
      "booting",
      "booting.queued",
      "booting.adopting",
    ]);
    const last = momentAfter(instants, instants.length - 1);
    expect(last.goingOn.map(({ name }) => name)).toEqual([
      "Controller.Start",
      "adopt",
      "guest sandbox.setup",
    ]);
    const screen = plainScreen(100, fake.now());
    const page = (index: number) => replayPage(recording, instants, index, screen);
    const step = instants.findIndex(({ entry }) => entry.to === "adopting");
    expect(page(step)).toContain("booting.adopting");
    expect(page(step - 1)).not.toContain("boot     adopting");
    await expect(page(step)).toMatchFileSnapshot("./snapshots/replay-adopting.txt");
    await expect(replayLines(recording, screen)).toMatchFileSnapshot("./snapshots/replay-lines-adopting.txt");
    expect([...replaySteps(recording)]).toHaveLength(instants.length);
  });

  it("is shown in a time that grows with its length, however long it is", async () => {
    const web = await detail("web");
    const entry = { kind: "transition", chart: "sandbox", name: "", from: "", to: "ready" } as const;
    const history = Array.from({ length: 10_000 }, (_, index) => ({ ...entry, id: index + 1, at: index }));
    const began = performance.now();
    let steps = 0;
    for (const _ of replaySteps({ ...web, history })) steps += 1;
    expect(steps).toBe(history.length);
    // fifty million looks at an instant if each step began at the first one
    expect(performance.now() - began).toBeLessThan(1_000);
  });

  it("has columns as wide as the widest of any number of rows", () => {
    expect(
      greatest(
        Array.from({ length: 200_000 }, (_, index) => index),
        (width) => width,
      ),
    ).toBe(199_999);
  });

  it("ends what is within before what is around it", async () => {
    const instants = instantsOf(await detail("web"));
    const ends = instants.filter(({ what }) => what === "ended").slice(0, 3);
    expect(ends.map(({ entry }) => entry.name)).toEqual(["worker mount", "provision", "Controller.Create"]);
  });

  it("is stepped through by keys", async () => {
    const instants = instantsOf(await detail("web"));
    const last = instants.length - 1;
    expect(["right", "left", "home", "end"].map((key) => moved(key, 5, instants))).toEqual([6, 4, 0, last]);
    expect([moved("left", 0, instants), moved("right", last, instants), moved("x", 5, instants)]).toEqual([
      0,
      last,
      5,
    ]);
    const next = moved("down", 0, instants);
    expect(instants[next]?.entry.kind).toMatch(/transition|call/);
    expect(moved("up", next, instants)).toBeLessThan(next);
  });

  it("lets nothing through that a terminal obeys", async () => {
    const recording = await detail("evil");
    const instants = instantsOf(recording);
    const screen = plainScreen(Number.POSITIVE_INFINITY, fake.now());
    const texts = [
      replayLines(recording, screen),
      replayPage(recording, instants, instants.length - 1, screen),
    ];
    for (const text of texts) expect(text.replaceAll("\n", "")).not.toMatch(/[\p{Cc}\p{Cf}]/u);
  });
});

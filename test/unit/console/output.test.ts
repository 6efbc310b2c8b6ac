/** What the commands print of a populated node: on a terminal of 120 cells without colours, at a fixed time. */
import { describe, expect, it } from "vitest";
import { find } from "../../../src/console/asked.ts";
import { pastEvents } from "../../../src/console/events/events.ts";
import { graphText } from "../../../src/console/graph/graph.ts";
import { ps } from "../../../src/console/ps.ts";
import { plainScreen } from "../../../src/console/screen.ts";
import { sandboxPage } from "../../../src/console/tables/sandbox-page.ts";
import { timelinePage } from "../../../src/console/tables/timeline-page.ts";
import { nodeHeader, usageRows, usageTable } from "../../../src/console/top/usage-table.ts";
import type { SandboxDetail } from "../../../src/contracts/inspection.ts";
import { asked } from "../../support/fake-inspection/asked.ts";
import { populatedInspection } from "../../support/fake-inspection/population.ts";

const fake = populatedInspection();
const daemon = asked(fake);
const screen = plainScreen(120, fake.now());
const ALL = { format: "table", all: true, namespace: undefined } as const;

describe("what the commands print", () => {
  const cases: Readonly<Record<string, () => Promise<string>>> = {
    ps: () => ps(daemon, { ...ALL, all: false }, screen),
    "ps -a -o wide": () =>
      ps(daemon, { ...ALL, format: "wide" }, plainScreen(Number.POSITIVE_INFINITY, fake.now())),
    "ps -n shop -o json": () => ps(daemon, { ...ALL, format: "json", namespace: "shop" }, screen),
    "ps -n evil -o yaml": () => ps(daemon, { ...ALL, format: "yaml", namespace: "evil" }, screen),
    "inspect adopting": async () => sandboxPage(await detail("adopting"), screen),
    "inspect killed": async () => sandboxPage(await detail("killed"), screen),
    "timeline cold": async () => timelinePage(await detail("cold"), screen),
    "timeline ended-well": async () => timelinePage(await detail("ended-well"), screen),
    "events db": async () => {
      const lines: string[] = [];
      const view = { format: "table", sandbox: await find(daemon, "db"), last: 12 } as const;
      await pastEvents(daemon, view, screen, (text) => lines.push(text));
      return lines.join("");
    },
    "graph adopting": () => graphText(daemon, { word: "adopting", chart: undefined, format: "mermaid" }),
    "graph container": () => graphText(daemon, { word: "container", chart: undefined, format: "mermaid" }),
    "graph process svg": () => graphText(daemon, { word: "process", chart: undefined, format: "svg" }),
    top: async () => {
      const running = (await daemon.list()).filter(({ pid }) => pid > 0).slice(0, 6);
      const ids = running.map(({ id }) => id);
      const other = populatedInspection();
      const before = await other.usage(ids);
      other.advance(2_000);
      const rows = usageRows(running, before, await other.usage(ids));
      return `${nodeHeader(await daemon.node(), screen)}\n${usageTable(rows, screen)}`;
    },
  };

  it.each(Object.entries(cases))("%s", async (name, print) => {
    const file = `./snapshots/${name.replaceAll(/[^a-z]+/g, "-")}.txt`;
    await expect(await print()).toMatchFileSnapshot(file);
  });

  it("has no line that is wider than the terminal", async () => {
    const narrow = plainScreen(60, fake.now());
    const evil = await detail("evil");
    const texts = [await ps(daemon, ALL, narrow), sandboxPage(evil, narrow), timelinePage(evil, narrow)];
    for (const line of texts.join("").split("\n")) expect(line.length).toBeLessThanOrEqual(60);
  });

  it("lets nothing through that a terminal obeys, whatever a guest says", async () => {
    const evil = await detail("evil");
    const lines: string[] = [];
    await pastEvents(daemon, { format: "table", sandbox: evil.summary, last: 99 }, screen, (text) =>
      lines.push(text),
    );
    const wide = plainScreen(Number.POSITIVE_INFINITY, fake.now());
    const texts = [
      ...["table", "wide", "json", "yaml"].map((format) =>
        ps(daemon, { ...ALL, format: format as "table" }, wide),
      ),
      ...[sandboxPage(evil, wide), timelinePage(evil, wide), lines.join("")],
    ];
    for (const text of await Promise.all(texts)) {
      expect(text.replaceAll("\n", "")).not.toMatch(/[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]/u);
      expect(text).toContain("evil");
    }
  });

  it("draws every chart, with the active states lit and all texts harmless", async () => {
    for (const word of ["sandbox", "boot", "container", "adopting"]) {
      const svg = await graphText(daemon, { word, chart: undefined, format: "svg" });
      expect(svg.startsWith("<svg ")).toBe(true);
      expect(svg.includes(" active")).toBe(word === "adopting");
    }
    const [chart] = await daemon.charts();
    const title = "<script>alert(1)</script>";
    const hostile = {
      ...daemon,
      charts: () => Promise.resolve(chart === undefined ? [] : [{ ...chart, title }]),
    };
    const svg = await graphText(hostile, { word: chart?.name, chart: undefined, format: "svg" });
    expect(svg).not.toContain("<script>");
  });

  it("gives programs the data as it is", async () => {
    const text = await ps(daemon, { ...ALL, format: "json" }, screen);
    expect(JSON.parse(text)).toEqual({ items: expect.arrayContaining(fake.list()) });
  });
});

async function detail(name: string): Promise<SandboxDetail> {
  const summary = fake.list().find(({ pod }) => pod.name.startsWith(name));
  return await daemon.get(summary?.id ?? "");
}

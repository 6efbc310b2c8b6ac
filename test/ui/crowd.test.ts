/** Five hundred sandboxes: the page stays fluent while they are scrolled through, filtered and change. */
import { afterAll, expect, test } from "vitest";
import { FakeInspection } from "../support/fake-inspection/inspection.ts";
import { crowdedInspection } from "../support/fake-inspection/population.ts";
import { closeBrowser, openFake } from "../support/ui/browser.ts";
import { framesOf } from "../support/ui/frames.ts";

afterAll(closeBrowser);

const COUNT = 500;
/** The fake forgets the oldest of those that have ended. */
const STARTED = 640;
const MEASURED_MS = 4_000;
/** A frame of a page with five hundred sandboxes may take so much longer than one of an empty page. */
const MOST_LONGER_MS = 17;

test("frames of 500 sandboxes that are scrolled through and change come as fast as those of an empty page", async () => {
  const empty = await openFake();
  const still = await framesOf(empty.page, MEASURED_MS);
  await empty.page.close();
  const { page, fake } = await openFake(crowdedInspection(STARTED));
  const grid = page.getByRole("grid");
  // they come in pieces, and on a busy machine slowly
  const rows = () => grid.getAttribute("aria-rowcount").then(Number);
  await expect.poll(rows, { timeout: 30_000 }).toBeGreaterThan(COUNT);
  let started = 0;
  const timer = setInterval(() => {
    fake.startPod({ name: `late-${started++}`, namespace: "team-9", path: "pool", containers: 1 });
    fake.advance(100);
  }, 100);
  const busy = await framesOf(page, MEASURED_MS, ".grid-body");
  clearInterval(timer);
  process.stdout.write(`frames: empty ${still.text}; ${COUNT} sandboxes ${busy.text}\n`);
  expect(busy.scrolled).toBeGreaterThan(5_000);
  expect(busy.median).toBeLessThan(still.median + MOST_LONGER_MS);
  expect(busy.p95).toBeLessThan(still.p95 + 2 * MOST_LONGER_MS);
  // those that started meanwhile came into the list
  await page.getByRole("searchbox").fill("late-");
  await page.locator(".grid-row", { hasText: "late-0" }).or(page.locator(".grid-row")).first().waitFor();
});

test("only what can be seen is in the document, and the keyboard reaches the rest", async () => {
  const { page, fake } = await openFake(crowdedInspection(STARTED));
  const rows = page.locator(".grid-row");
  const all = fake.list().length;
  await page.locator(`[role=grid][aria-rowcount="${all + 1}"]`).waitFor();
  expect(await rows.count()).toBeLessThan(60);
  await rows.first().focus();
  await page.keyboard.press("End");
  await page.locator(`[aria-rowindex="${all + 1}"]:focus`).waitFor();
  await page.keyboard.press("Home");
  await page.locator('[aria-rowindex="2"]:focus').waitFor();
  await page.keyboard.press("ArrowDown");
  await page.locator('[aria-rowindex="3"]:focus').waitFor();
});

test("filters and orders show what they say", async () => {
  const { page } = await openFake(crowdedInspection(STARTED));
  const stuckFirst = page.locator('[aria-rowindex="2"]');
  await stuckFirst.getByText("stuck").waitFor();
  await page.getByRole("searchbox").fill("team-3 pod-1");
  await expect.poll(() => page.locator(".grid-row").count()).toBeGreaterThan(0);
  for (const row of await page.locator(".grid-row").allInnerTexts()) expect(row).toMatch(/team-3\/\s*pod-1/);
  await page.getByRole("searchbox").fill("");
  await page.getByRole("button", { name: "ready", exact: true }).click();
  await expect
    .poll(async () => new Set(await page.locator(".grid-row .badge").allInnerTexts()))
    .toEqual(new Set(["ready"]));
  await page.getByRole("columnheader", { name: "Start" }).getByRole("button").click();
  await page.getByRole("columnheader", { name: "Start" }).getByRole("button").click();
  await expect
    .poll(() => page.getByRole("columnheader", { name: "Start" }).getAttribute("aria-sort"))
    .toBe("descending");
});

test("an empty node says so", async () => {
  const { page } = await openFake(new FakeInspection());
  await page.getByText("There are none.").waitFor();
  await page.getByText("No start is remembered yet.").waitFor();
});

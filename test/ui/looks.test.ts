/** For everybody: axe-core, a phone's width, the keyboard alone, calm motion; and harmless whatever a guest says. */
import axe from "axe-core";
import type { BrowserContextOptions, Page } from "playwright-core";
import { afterAll, expect, test } from "vitest";
import { FakeInspection } from "../support/fake-inspection/inspection.ts";
import { HOSTILE_NAME, HOSTILE_WORDS, populatedInspection } from "../support/fake-inspection/population.ts";
import { closeBrowser, DESKTOP, openFake, openSandbox, PHONE } from "../support/ui/browser.ts";

afterAll(closeBrowser);

interface Fault {
  readonly id: string;
  readonly impact: string;
  readonly nodes: readonly { readonly html: string; readonly failureSummary: string }[];
}

/** What axe-core counts as serious or worse. */
async function faultsOf(page: Page): Promise<string[]> {
  await page.evaluate(axe.source);
  const { violations } = (await page.evaluate("axe.run(document, { resultTypes: ['violations'] })")) as {
    violations: readonly Fault[];
  };
  const serious = violations.filter(({ impact }) => impact === "serious" || impact === "critical");
  return serious.flatMap(({ id, nodes }) =>
    nodes.map(({ html, failureSummary }) => `${id}: ${html} ${failureSummary}`),
  );
}

const VIEWS: readonly (readonly [string, BrowserContextOptions])[] = [
  ["light", { colorScheme: "light", viewport: DESKTOP }],
  ["dark", { colorScheme: "dark", viewport: DESKTOP }],
  ["light on a phone", { colorScheme: "light", viewport: PHONE, hasTouch: true }],
  ["dark on a phone", { colorScheme: "dark", viewport: PHONE, hasTouch: true }],
];

/** No part may be wider than the page. */
async function widthOf(page: Page): Promise<number> {
  return Number(await page.evaluate("document.documentElement.scrollWidth"));
}

test.each(VIEWS)("axe-core finds no serious fault: %s", async (_, options) => {
  const { page } = await openFake(populatedInspection(), options);
  await page.locator(".grid-row").first().waitFor();
  await page.locator(".steps tbody tr").first().waitFor();
  expect(await faultsOf(page)).toEqual([]);
  expect(await widthOf(page)).toBe(options.viewport?.width);
  await openSandbox(page, "awaiting-agent");
  await page.locator(".state").first().waitFor();
  await page.locator(".row").nth(5).click();
  await page.locator('.state[data-item="awaitingAgent"]').focus();
  await page.getByRole("tooltip").waitFor();
  expect(await faultsOf(page)).toEqual([]);
  expect(await widthOf(page)).toBe(options.viewport?.width);
  await page.getByLabel("Compare with another sandbox").selectOption({ index: 2 });
  await page.locator(".compared tbody tr").first().waitFor();
  expect(await faultsOf(page)).toEqual([]);
  expect(await widthOf(page)).toBe(options.viewport?.width);
  await page.keyboard.press("?");
  await page.getByRole("dialog", { name: "Keys" }).waitFor();
  expect(await faultsOf(page)).toEqual([]);
});

test("a hostile guest's words are shown, and are nothing but words", async () => {
  const fake = populatedInspection();
  fake.startPod({
    name: "A".repeat(1 << 20),
    namespace: "evil",
    path: "pool",
    containers: 0,
    guestWords: HOSTILE_WORDS,
  });
  fake.advance(5_000);
  const { page } = await openFake(fake);
  const row = page.locator(".grid-row", { hasText: "evil/evil" });
  await page.getByRole("searchbox").fill("evil/");
  await row.waitFor();
  expect(await row.textContent()).toContain("evil\\x1b[2J\\x1b]0;owned\\x07<img src=x");
  await page.locator(".grid-row", { hasText: "AAAA" }).waitFor();
  await row.click();
  await page.locator(".state").first().waitFor();
  const text = await page.locator("main").textContent();
  expect(text).toContain("\\x1b[31m");
  expect(text).toContain("<script>alert(1)</script>");
  expect(text).toContain("\\u202e");
  expect((await page.content()).replaceAll("\n", "")).not.toMatch(/[\p{Cc}\u202a-\u202e\u2066-\u2069]/u);
  expect(await page.locator("img, script:not([src='/page.js']), iframe, object").count()).toBe(0);
  expect(await widthOf(page)).toBe(DESKTOP.width);
  expect(HOSTILE_NAME).toContain("<img");
});

test("the whole page can be used with the keyboard alone", async () => {
  const fake = new FakeInspection();
  for (const name of ["one", "two"]) fake.startPod({ name, namespace: "shop", path: "boot", containers: 1 });
  fake.advance(10_000);
  const { page } = await openFake(fake);
  await page.keyboard.press("Tab");
  await page.getByRole("link", { name: "To the content" }).press("Enter");
  await page.locator("main:focus").waitFor();
  await page.keyboard.press("?");
  await page.getByRole("dialog", { name: "Keys" }).waitFor();
  await page.keyboard.press("Escape");
  await page.getByRole("dialog", { name: "Keys" }).waitFor({ state: "hidden" });
  await openSandbox(page, "one");
  // the chart: one stop, arrows go on
  await page.locator('.state[tabindex="0"], .edge[tabindex="0"]').focus();
  const first = await page.evaluate("document.activeElement.dataset.item");
  await page.keyboard.press("ArrowRight");
  expect(await page.evaluate("document.activeElement.dataset.item")).not.toBe(first);
  await page.getByRole("tooltip").waitFor();
  await page.keyboard.press("Escape");
  // the timeline: arrows choose, Enter shows the moment
  await page.getByRole("listbox").focus();
  await page.keyboard.press("Home");
  await page.keyboard.press("ArrowDown");
  await page.locator('.row[aria-selected="true"]').waitFor();
  await page.keyboard.press("Enter");
  await page.getByRole("heading", { name: "Under way at that moment" }).waitFor();
  // other charts by number, now again by a letter
  await page.keyboard.press("2");
  await page.getByRole("tab", { name: /^VM start/, selected: true }).waitFor();
  await page.keyboard.press("l");
  await page.getByRole("heading", { name: "Waits for" }).waitFor();
  await page.keyboard.press("Escape");
  await page.keyboard.press("Escape");
  await page.locator(".grid-row").first().waitFor();
});

test("single keys can be switched off", async () => {
  const { page } = await openFake();
  await page.keyboard.press("?");
  await page.getByRole("checkbox", { name: "Single keys act" }).uncheck();
  await page.getByRole("button", { name: "Close" }).click();
  await page.keyboard.press("?");
  await page.keyboard.press("d");
  expect(await page.getByRole("dialog").count()).toBe(0);
  expect(await page.evaluate("document.documentElement.dataset.theme")).toBeUndefined();
});

test("screen readers are told of changes", async () => {
  const { page, fake } = await openFake();
  fake.startPod({ name: "web", namespace: "shop", path: "clone", containers: 0, halt: "booting.cloning" });
  fake.advance(1_000);
  await openSandbox(page, "web");
  await page.getByRole("status").getByText("state booting.cloning").waitFor();
});

test("whoever wants calm has no motion; others see a transition run along its edge", async () => {
  const durations: string[] = [];
  for (const reducedMotion of ["reduce", "no-preference"] as const) {
    const { page, fake } = await openFake(new FakeInspection(), { reducedMotion });
    fake.startPod({ name: "web", namespace: "shop", path: "clone", containers: 0 });
    fake.advance(10_000);
    await openSandbox(page, "web");
    await page.locator(".edge-taken").waitFor({ state: "attached" });
    durations.push(
      String(
        await page.evaluate("getComputedStyle(document.querySelector('.edge-taken')).animationDuration"),
      ),
    );
  }
  expect(durations).toEqual(["1e-05s", "0.7s"]);
});

test("the colours are the system's until the reader chooses", async () => {
  const { page } = await openFake(new FakeInspection(), { colorScheme: "dark" });
  const ground = () => page.evaluate("getComputedStyle(document.documentElement).backgroundColor");
  const dark = await ground();
  await page.keyboard.press("d");
  await expect.poll(ground).not.toBe(dark);
  const light = await ground();
  await page.reload();
  await page.getByText("Live", { exact: true }).waitFor();
  expect(await ground()).toBe(light);
});

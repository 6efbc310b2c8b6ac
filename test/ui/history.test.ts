/** The slider, back to the creation, and files that are dropped onto the page. */
import { afterAll, expect, test } from "vitest";
import { FakeInspection } from "../support/fake-inspection/inspection.ts";
import {
  activeStates,
  closeBrowser,
  openFake,
  openPage,
  openSandbox,
  servedPage,
} from "../support/ui/browser.ts";
import { dropFiles, tarOf } from "../support/ui/files.ts";

afterAll(closeBrowser);

const POD = { name: "web", namespace: "shop", path: "boot", containers: 1 } as const;

test("the slider goes back to the creation and on again, also of a sandbox that is gone", async () => {
  const { page, fake } = await openFake();
  fake.startPod({ ...POD, stopAfter: 3_000 });
  fake.advance(60_000);
  await openSandbox(page, "web");
  await page.getByRole("tab", { name: /^Sandbox/ }).click();
  await page.locator('.state[data-item="removed"][data-innermost="true"]').waitFor();
  const slider = page.getByRole("slider");
  await slider.press("Home");
  await page.locator('.state[data-item="creating"][data-innermost="true"]').waitFor();
  expect(await slider.getAttribute("aria-valuetext")).toContain("creating");
  const seen = new Set<string>();
  for (let step = 0; step < 60; step++) {
    for (const state of await activeStates(page)) seen.add(state);
    if (
      (await page.getByRole("button", { name: "End", exact: true }).getAttribute("aria-pressed")) === "true"
    )
      break;
    await page.keyboard.press("]");
  }
  for (const state of ["creating", "created", "booting", "ready.running", "stopping.vmm.killing", "stopped"])
    expect(seen, state).toContain(state);
});

test("in the past the boot's chart is as it was, and what came later is dimmed", async () => {
  const { page, fake } = await openFake();
  fake.startPod(POD);
  fake.advance(30_000);
  await openSandbox(page, "web");
  await page.getByRole("option", { name: /effect of boot: connectAgent/ }).click();
  await page.getByRole("button", { name: "Show this moment" }).click();
  await page.getByRole("tab", { name: /^VM start/ }).click();
  await page.locator('.state[data-item="awaitingAgent.listening"][data-innermost="true"]').waitFor();
  await page.getByRole("heading", { name: "Under way at that moment" }).waitFor();
  await page.locator(".waits", { hasText: "connectAgent" }).waitFor();
  expect(
    await page
      .getByRole("option", { name: /Task.Create/ })
      .first()
      .getAttribute("data-future"),
  ).toBe("true");
  await page.keyboard.press("l");
  await page.locator('.state[data-item="ready"][data-innermost="true"]').waitFor();
});

test("a film of its life can be played and stopped", async () => {
  const { page, fake } = await openFake();
  fake.startPod({ ...POD, stopAfter: 100 });
  fake.advance(60_000);
  await openSandbox(page, "web");
  const slider = page.getByRole("slider");
  await page.getByRole("button", { name: "Play (p)" }).click();
  await expect.poll(() => slider.inputValue().then(Number)).toBeLessThan(1_000);
  const before = Number(await slider.inputValue());
  await expect.poll(() => slider.inputValue().then(Number)).toBeGreaterThan(before);
  await page.getByRole("button", { name: "Pause (p)" }).click();
  await page.getByRole("button", { name: "Play (p)" }).waitFor();
});

test("what blazar inspect has written is shown without a daemon", async () => {
  const { page } = await openPage((await servedPage(undefined)).url);
  await page.getByRole("heading", { name: "Drop a journal or a bundle here" }).waitFor();
  await dropFiles(page, [{ name: "web.json", bytes: Buffer.from(JSON.stringify(await endedDetail())) }]);
  await page.getByRole("heading", { level: 1, name: "shop/web" }).waitFor();
  await page.keyboard.press("{");
  await page.locator('.state[data-item="creating"][data-innermost="true"]').waitFor();
});

test("a journal that is dropped is replayed back to its beginning", async () => {
  const { page } = await openPage((await servedPage(undefined)).url);
  await page.getByRole("heading", { name: "Drop a journal or a bundle here" }).waitFor();
  await dropFiles(page, [{ name: "journal", bytes: Buffer.from(await journalText()) }]);
  await page.getByRole("heading", { level: 1, name: "shop/web" }).waitFor();
  await page.getByRole("tab", { name: /^Sandbox/ }).click();
  await page.locator('.state[data-item="removed"][data-innermost="true"]').waitFor();
  await page.keyboard.press("{");
  await page.locator('.state[data-item="creating"][data-innermost="true"]').waitFor();
  await page.locator(".row", { hasText: "Controller.Start" }).first().waitFor();
  await page.getByText("A journal has no logs; a bundle has.").waitFor();
});

test("a bundle is read in the browser, and nothing of it is sent anywhere", async () => {
  const { page, requests } = await openPage((await servedPage(undefined)).url);
  await page.getByRole("heading", { name: "Drop a journal or a bundle here" }).waitFor();
  const before = requests.length;
  const one = { ...(await endedDetail()), why: "it was read from a bundle" };
  const bytes = tarOf({
    "web/manifest.json": "{}",
    "web/detail.json": JSON.stringify(one),
    "web/why.txt": "it was read from a bundle",
    "web/logs/console.log": "[    0.000000] a line of the console\n",
    "db/detail.json": JSON.stringify(one),
  });
  await dropFiles(page, [{ name: "bundle.tar", bytes }]);
  const files = page.getByRole("region", { name: "From files" });
  await expect.poll(() => files.getByRole("link").count()).toBe(2);
  await files.getByRole("link").first().click();
  await page.getByText("it was read from a bundle").waitFor();
  await page.getByRole("log").getByText("a line of the console").waitFor();
  expect(requests.slice(before).filter((request) => !/(elk-worker\.js|icon\.svg)$/.test(request))).toEqual(
    [],
  );
});

test("a file that is none of these is refused by name", async () => {
  const { page } = await openPage((await servedPage(undefined)).url);
  await page.getByRole("heading", { name: "Drop a journal or a bundle here" }).waitFor();
  await dropFiles(page, [{ name: "holiday.jpg", bytes: Buffer.from([0xff, 0xd8, 0xff, 0x00]) }]);
  await page.getByRole("alert").getByText("holiday.jpg cannot be shown").waitFor();
});

async function endedDetail() {
  const fake = new FakeInspection();
  const id = fake.startPod({ ...POD, stopAfter: 200 });
  fake.advance(60_000);
  return fake.get(id);
}

/** As a daemon writes it. */
async function journalText(): Promise<string> {
  const { summary, history } = await endedDetail();
  const { id: sandboxId, pod, createdAt: at } = summary;
  const lines = [
    { type: "opened", at, sandboxId },
    { type: "fact", at, name: "sandbox", value: { id: sandboxId, ...pod } },
    ...history.map((entry) => ({ type: "history", at: entry.at + (entry.ms ?? 0), entry })),
  ];
  return lines.map((line) => `${JSON.stringify(line)}\n`).join("");
}

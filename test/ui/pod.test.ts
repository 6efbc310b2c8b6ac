/** A live pod is started, stopped and killed under the page. */
import { afterAll, expect, test } from "vitest";
import { activeStates, closeBrowser, openFake, openSandbox } from "../support/ui/browser.ts";

afterAll(closeBrowser);

const POD = { name: "web", namespace: "shop", path: "clone", containers: 1 } as const;

test("a pod that starts is in the list, and its chart goes along", async () => {
  const { page, fake } = await openFake();
  await page.getByText("There are none.").waitFor();
  const id = fake.startPod({ ...POD, halt: "booting.cloning" });
  fake.advance(2_000);
  await page.locator(".grid-row", { hasText: "shop/web" }).getByText("booting.cloning").waitFor();
  await openSandbox(page, "web");
  await page.locator('.state[data-item="cloning"][data-innermost="true"]').waitFor();
  expect(await activeStates(page)).toEqual(["cloning"]);
  await page.getByRole("tab", { name: /^Sandbox/ }).click();
  await page.locator('.state[data-item="booting"][data-innermost="true"]').waitFor();
  fake.stopPod(id);
  await page.locator('.state[data-item="stopping"][data-active="true"]').waitFor();
  fake.advance(20_000);
  await page.locator('.state[data-item="removed"][data-innermost="true"]').waitFor();
  // what was gone through stays marked
  for (const visited of ["creating", "created", "booting", "stopping", "stopped"])
    expect(await page.locator(`.state[data-item="${visited}"]`).getAttribute("data-visited")).toBe("true");
  expect(await page.locator('.state[data-item="ready"]').getAttribute("data-visited")).toBe("false");
  expect(await page.locator('.edge[data-taken="true"]').getAttribute("data-item")).toBe("stopped→removed");
});

test("a pod that runs has charts of its containers and processes", async () => {
  const { page, fake } = await openFake();
  fake.startPod({ ...POD, containers: 2 });
  fake.advance(10_000);
  await openSandbox(page, "web");
  const tabs = page.getByRole("tablist", { name: "Charts" }).getByRole("tab");
  await expect.poll(() => tabs.count()).toBe(6);
  await tabs.filter({ hasText: "Process of" }).first().click();
  await page.locator('.state[data-item="running"][data-innermost="true"]').waitFor();
  // Controller.Start, from the call to the guest's step
  const rows = await page.locator(".row").allTextContents();
  for (const name of [
    "Controller.Start",
    "clone",
    "guest sandbox.setup",
    "Task.Create",
    "worker rootfs.prepare",
  ])
    expect(rows.some((row) => row.includes(`: ${name}`))).toBe(true);
});

test("a pod that dies says why, and keeps its history", async () => {
  const { page, fake } = await openFake();
  fake.startPod({ ...POD, diesAfter: 3_000 });
  fake.advance(2_000);
  await openSandbox(page, "web");
  await page.locator(".head .badge", { hasText: "ready" }).waitFor();
  fake.advance(30_000);
  await page.locator(".head .badge", { hasText: "failed" }).waitFor();
  await page.locator(".why", { hasText: "signal 9" }).waitFor();
  await page.locator(".row[data-failed=true]").first().click();
  await page.locator(".entry-error", { hasText: "the VMM ended with signal 9" }).waitFor();
});

test("deadlines run down beside the chart and on the state, on hover and on focus", async () => {
  const { page, fake } = await openFake();
  fake.startPod({ ...POD, halt: "booting.awaitingAgent.listening", stuck: true });
  fake.advance(4_000);
  await openSandbox(page, "web");
  await page.locator(".waits", { hasText: "agentHello" }).waitFor();
  const state = page.locator('.state[data-item="awaitingAgent"]');
  await state.focus();
  const tip = page.getByRole("tooltip");
  await tip.getByText(/agentHello: .* left of/).waitFor();
  await tip.getByText("vmm.exited").first().waitFor();
  await page.keyboard.press("Escape");
  await tip.waitFor({ state: "detached" });
  await page.mouse.move(0, 0);
  await page.locator('.state[data-item="queued"] .state-name').hover();
  await tip.getByText("Takes a warm VM").waitFor();
  await page.locator('.edge[data-item="adopting→queued"]').focus();
  await tip.getByText("after adopt").waitFor();
});

test("a chosen entry shows its causes, from the call on", async () => {
  const { page, fake } = await openFake();
  fake.startPod(POD);
  fake.advance(10_000);
  await openSandbox(page, "web");
  await page.getByRole("option", { name: /guest sandbox.setup/ }).click();
  const chain = page.getByRole("list", { name: "Chain of causes" }).getByRole("button");
  await chain.first().waitFor();
  const names = await chain.allInnerTexts();
  expect(names[0]).toBe("Controller.Start");
  expect(names.at(-1)).toBe("guest sandbox.setup");
  expect(names).toContain("cloning");
  const dim = page.locator('.row[data-chain="false"]');
  expect(await dim.allInnerTexts()).toContainEqual(expect.stringContaining("Task.Create"));
  await chain.first().click();
  await page.locator('.row[aria-selected="true"]', { hasText: "Controller.Start" }).waitFor();
});

test("logs stand beside it, as they grow", async () => {
  const { page, fake } = await openFake();
  fake.startPod(POD);
  fake.advance(10_000);
  await openSandbox(page, "web");
  await page.getByRole("log").getByText("Linux version").waitFor();
  await page.getByRole("tab", { name: "VMM" }).click();
  await page.getByRole("log").locator(".log-line").first().waitFor();
});

test("logs of one that has failed are its last words; of one that has ended well there are none", async () => {
  const { page, fake } = await openFake();
  fake.startPod({ ...POD, diesAfter: 1_000 });
  fake.advance(60_000);
  await openSandbox(page, "web");
  await page.getByRole("log").getByText("Linux version").waitFor();
  const well = await openFake();
  well.fake.startPod({ ...POD, stopAfter: 1_000 });
  well.fake.advance(60_000);
  await openSandbox(well.page, "web");
  await well.page.locator(".logs", { hasText: "The sandbox has ended, and its logs with it" }).waitFor();
});

test("two sandboxes stand side by side, and the slow step is named", async () => {
  const { page, fake } = await openFake();
  fake.startPod({ ...POD, name: "quick", path: "pool" });
  fake.startPod({ ...POD, name: "slow", path: "boot", fallbacks: ["pool"], slowness: 3 });
  fake.advance(30_000);
  for (const name of ["quick", "slow"]) {
    await page.locator(".grid-row", { hasText: name }).focus();
    await page.keyboard.press("x");
  }
  await page.keyboard.press("c");
  await page.getByRole("heading", { name: "Side by side" }).waitFor();
  await page.locator(".why", { hasText: /B started .* slower than A/ }).waitFor();
  await page.locator(".why", { hasText: "awaitingAgent.listening" }).waitFor();
  await page.getByRole("row", { name: /adopt/ }).first().waitFor();
  const all = await page.locator(".compared tbody tr").count();
  await page.getByRole("checkbox", { name: /Only the/ }).check();
  await expect.poll(() => page.locator(".compared tbody tr").count()).toBeLessThan(all);
  await page.getByRole("button", { name: "Swap" }).click();
  await page.locator(".why", { hasText: /B started .* faster than A/ }).waitFor();
});

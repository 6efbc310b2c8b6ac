/** The page over a real daemon, by `blazar ui`: a real pod is started, stopped and killed under it. */
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { type ServedPage, servePage } from "../../lab/node/page.ts";
import { TestNode } from "../support/e2e/node.ts";
import { blazarProgram, built } from "../support/e2e/program.ts";
import { activeStates, closeBrowser, openPage, openSandbox } from "../support/ui/browser.ts";

/** Far more than a pod has moments. */
const MOST_STEPS = 1_000;
const PATIENCE = { timeout: 60_000 };

describe.skipIf(process.getuid?.() !== 0 || built().containerd === null)("a real pod", () => {
  let node: TestNode;
  let served: ServedPage;

  beforeAll(async () => {
    node = await TestNode.start();
    served = await servePage(blazarProgram(), node.node.stateDirectory);
  });

  afterAll(async () => {
    await closeBrowser();
    await served?.stop();
    await node?.stop();
  });

  test("is seen from its start to its end", async () => {
    const { page } = await openPage(served.url);
    await page.getByText("There are none.").waitFor(PATIENCE);
    const starting = node.runPod();
    await page.locator(".grid-row .badge", { hasText: "booting" }).waitFor(PATIENCE);
    await page.locator(".grid-row").first().press("Enter");
    const pod = await starting;
    await page.locator(".head .badge", { hasText: "ready" }).waitFor(PATIENCE);
    const container = await node.startContainer(pod, "echo seen; exec sleep 1000");
    await node.waitForLog(container, "seen");
    await page.getByRole("tab", { name: /^Process of/ }).click();
    await page.locator('.state[data-item="running"][data-innermost="true"]').waitFor(PATIENCE);
    for (const row of ["Controller.Create", "Controller.Start", "Task.Create", "guest container.create"])
      await page.locator(".row", { hasText: row }).first().waitFor(PATIENCE);
    await page.locator(".resources", { hasText: "process" }).waitFor(PATIENCE);
    await page.locator(".log-line").first().waitFor(PATIENCE);
    await page.getByRole("tab", { name: /^Sandbox/ }).click();
    await node.stopAll();
    await page.locator('.state[data-item="removed"][data-innermost="true"]').waitFor(PATIENCE);
    // the whole way back
    await page.keyboard.press("{");
    await page.locator('.state[data-item="creating"][data-innermost="true"]').waitFor();
    const seen = new Set<string>();
    const end = page.getByRole("button", { name: "End", exact: true });
    for (let step = 0; step < MOST_STEPS && (await end.getAttribute("aria-pressed")) !== "true"; step++) {
      for (const state of await activeStates(page)) seen.add(state);
      await page.keyboard.press("]");
    }
    for (const state of ["created", "booting", "ready.running", "stopping.vmm.killing", "stopped"])
      expect(seen, state).toContain(state);
  });

  test("that is killed says so", async () => {
    const { page } = await openPage(served.url);
    const { config } = await node.runPod();
    const name = config.metadata?.name ?? "";
    await page.locator(".grid-row", { hasText: name }).waitFor(PATIENCE);
    await openSandbox(page, name);
    await page.locator(".head .badge", { hasText: "ready" }).waitFor(PATIENCE);
    const pid = /pid (\d+)/.exec((await page.locator(".facts").textContent()) ?? "")?.[1];
    process.kill(Number(pid), "SIGKILL");
    await page.locator(".head .badge", { hasText: "failed" }).waitFor(PATIENCE);
    await page.locator(".why", { hasText: "It failed" }).waitFor(PATIENCE);
    await page
      .locator(".row", { hasText: /vmm\.exited|guest\.lost/ })
      .first()
      .waitFor(PATIENCE);
    await node.stopAll();
  });
});

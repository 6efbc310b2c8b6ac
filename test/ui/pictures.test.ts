/** The pictures of the page in the docs: drawn anew with BLAZAR_WRITE_DOCS=1, else only looked at for being there. */
import { existsSync } from "node:fs";
import { join } from "node:path";
import { afterAll, expect, test } from "vitest";
import { repoRoot } from "../../setup/lib/paths.ts";
import { FakeInspection } from "../support/fake-inspection/inspection.ts";
import { populatedInspection } from "../support/fake-inspection/population.ts";
import { closeBrowser, openFake, openSandbox } from "../support/ui/browser.ts";

afterAll(closeBrowser);

const WRITES = process.env["BLAZAR_WRITE_DOCS"] === "1";
const SIZE = { width: 1360, height: 960 };

function pictureFile(name: string): string {
  return join(repoRoot(), "docs", "pictures", `${name}.png`);
}

test.each(["light", "dark"] as const)("the page is shown in the docs: %s", async (colorScheme) => {
  const { page, fake } = await openFake(populatedInspection(), { colorScheme, viewport: SIZE });
  const shoot = async (name: string): Promise<void> => {
    const path = pictureFile(`page-${name}-${colorScheme}`);
    if (WRITES) await page.screenshot({ path });
    expect(existsSync(path), path).toBe(true);
  };
  await page.locator(".steps tbody tr").first().waitFor();
  await page.locator(`[role=grid][aria-rowcount="${fake.list().length + 1}"]`).waitFor();
  await shoot("fleet");
  await openSandbox(page, "awaiting-agent");
  await page.locator('.state[data-innermost="true"]').waitFor();
  await page.locator(".row", { hasText: "qmp cont" }).click();
  await page.locator(".entry-chain").waitFor();
  await page.mouse.move(0, 0);
  await page.evaluate("scrollTo(0, 0)");
  await shoot("sandbox");
});

test("a comparison and a phone are shown in the docs", async () => {
  const fake = new FakeInspection();
  const pod = { namespace: "shop", containers: 1 } as const;
  fake.startPod({ ...pod, name: "quick", path: "fork" });
  fake.startPod({ ...pod, name: "slow", path: "boot", fallbacks: ["fork", "clone"], slowness: 3 });
  fake.advance(30_000);
  const { page } = await openFake(fake, { viewport: { width: 1280, height: 640 } });
  for (const name of ["quick", "slow"])
    await page.locator(".grid-row", { hasText: name }).locator("input").check();
  await page.keyboard.press("c");
  await page.locator(".compared tbody tr").first().waitFor();
  const file = pictureFile("page-compare-light");
  if (WRITES) await page.screenshot({ path: file });
  expect(existsSync(file)).toBe(true);
});

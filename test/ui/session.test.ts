/** The token, the connection, and what happens when the daemon goes away. */
import { afterAll, expect, test } from "vitest";
import { closeBrowser, fakeDaemon, openFake, openPage, servedPage } from "../support/ui/browser.ts";

afterAll(closeBrowser);

test("the token leaves the address at once, is in no request's address, and a reload goes on", async () => {
  const { page, url, requests } = await openFake();
  const token = new URL(url).hash.slice("#token=".length);
  expect(page.url()).not.toContain(token);
  await page.reload();
  await page.getByText("Live", { exact: true }).waitFor();
  await page.goBack().catch(() => undefined);
  expect(page.url()).not.toContain(token);
  expect(requests.filter((request) => request.includes(token) && !request.includes("#token="))).toEqual([]);
  expect(await page.context().cookies()).toEqual([]);
});

test("a tab without the token is told where to get it, and sees nothing", async () => {
  const { client, fake } = await fakeDaemon();
  fake.startPod({ name: "secret-pod", namespace: "shop", path: "pool", containers: 0 });
  const { url } = await servedPage(client);
  const { page, complaints } = await openPage(new URL("/", url).href);
  await page.getByRole("heading", { name: "This tab has no token" }).waitFor();
  expect(await page.content()).not.toContain("secret-pod");
  // the browser tells of the refused request
  complaints.splice(0);
});

test("a foreign page cannot frame it, script it or ask it", async () => {
  const { client } = await fakeDaemon();
  const { url } = await servedPage(client);
  const other = await servedPage(undefined);
  const { page, complaints } = await openPage(other.url);
  const own = new URL("/", url).href;
  const outcome = await page.evaluate(async (address) => {
    const token = "Bearer x";
    const asked = await fetch(`${address}api/node`, { headers: { authorization: token } }).then(
      ({ status }) => `answered ${status}`,
      () => "refused",
    );
    return asked;
  }, own);
  expect(outcome).toBe("refused");
  // its own policy has refused it, and says so
  complaints.splice(0);
});

test("a daemon that goes away is told of, and found again", async () => {
  const { page, fake, stop, restart, complaints } = await openFake();
  await stop();
  await page.getByText("Not connected").waitFor();
  await restart();
  fake.startPod({ name: "afterwards", namespace: "shop", path: "pool", containers: 0 });
  await page.getByText("Live", { exact: true }).waitFor({ timeout: 20_000 });
  await page.locator(".grid-row", { hasText: "afterwards" }).waitFor();
  complaints.splice(0);
});

test("without a daemon it waits for files", async () => {
  const { url } = await servedPage(undefined);
  const { page } = await openPage(url);
  await page.getByRole("heading", { name: "Drop a journal or a bundle here" }).waitFor();
  await page.getByText("Without a daemon", { exact: true }).waitFor();
});

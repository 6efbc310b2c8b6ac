/**
 * The page in Debian's Chromium, headless, over a fake daemon behind a real inspection socket.
 *
 * Everything is real but the sandboxes: socket, gRPC, `blazar ui`'s server, the bundled page. Whatever the browser complains of
 * (an error, a request to elsewhere, a violation of the page's policy) fails the test.
 */
import { existsSync } from "node:fs";
import { join } from "node:path";
import { type Browser, type BrowserContextOptions, chromium, type Page } from "playwright-core";
import { expect, onTestFinished } from "vitest";
import { pageDirectory } from "../../../setup/lib/page.ts";
import { chartDefinitions } from "../../../src/observe/charts/definitions.ts";
import { PageServer } from "../../../src/page/server.ts";
import type { PageSource } from "../../../src/page/source.ts";
import { InspectionClient } from "../../../src/rpc/inspection/client.ts";
import { InspectionServer } from "../../../src/rpc/inspection/server.ts";
import { CapturedLogger } from "../captured-logger.ts";
import { FakeInspection } from "../fake-inspection/inspection.ts";
import { temporaryDirectory } from "../temporary-directory.ts";

/** Set by `npm run test:ui`. */
const CHROMIUM = process.env["BLAZAR_CHROMIUM"] ?? "/usr/bin/chromium";

/** A desktop and a phone. */
export const DESKTOP = { width: 1440, height: 900 };
export const PHONE = { width: 360, height: 740 };

let browser: Promise<Browser> | undefined;

/** One browser for a file's tests; ended by {@link closeBrowser}. */
function launched(): Promise<Browser> {
  if (!existsSync(CHROMIUM)) throw new Error(`${CHROMIUM} is not there: apt-get install chromium`);
  // root has no namespaces of its own to give to a sandbox
  const args = process.getuid?.() === 0 ? ["--no-sandbox", "--disable-gpu"] : ["--disable-gpu"];
  browser ??= chromium.launch({ executablePath: CHROMIUM, args });
  return browser;
}

/** For `afterAll`. */
export async function closeBrowser(): Promise<void> {
  await (await browser)?.close();
  browser = undefined;
}

export interface OpenPage {
  readonly page: Page;
  /** With the token. */
  readonly url: string;
  /** Everything that was asked for. */
  readonly requests: readonly string[];
  /** What the browser complained of; has to be empty at the end, unless the test empties it. */
  readonly complaints: string[];
}

/** Serves a daemon's inspection by a page server, as `blazar ui` does. */
export async function servedPage(source: PageSource | undefined): Promise<PageServer> {
  const server = await PageServer.start({
    version: "0.1.0",
    port: 0,
    directory: pageDirectory(),
    source,
    charts: chartDefinitions(),
  });
  onTestFinished(() => server.stop());
  return server;
}

/** Opens the page at its address. */
export async function openPage(url: string, options: BrowserContextOptions = {}): Promise<OpenPage> {
  const context = await (await launched()).newContext({
    viewport: DESKTOP,
    reducedMotion: "reduce",
    ...options,
  });
  onTestFinished(() => context.close());
  const page = await context.newPage();
  const [requests, complaints]: [string[], string[]] = [[], []];
  page.on("request", (request) => requests.push(request.url()));
  page.on("pageerror", (error) => complaints.push(error.message));
  page.on("console", (message) => {
    if (message.type() === "error" || message.type() === "warning") complaints.push(message.text());
  });
  page.on("dialog", (dialog) => {
    complaints.push(`a dialog: ${dialog.message()}`);
    void dialog.dismiss();
  });
  onTestFinished(() => {
    const { origin } = new URL(url);
    expect(complaints).toEqual([]);
    expect(
      requests.filter((request) => !request.startsWith(`${origin}/`) && !request.startsWith("blob:")),
    ).toEqual([]);
  });
  await page.goto(url);
  return { page, url, requests, complaints };
}

/** A daemon with a fake inspection, reached through a real socket. */
export async function fakeDaemon(fake: FakeInspection = new FakeInspection()) {
  const socket = join(await temporaryDirectory(), "inspection.sock");
  const start = async () => {
    const server = new InspectionServer({ inspection: fake, logger: new CapturedLogger() });
    await server.listen(socket);
    return server;
  };
  let server = await start();
  const client = new InspectionClient(socket);
  onTestFinished(async () => {
    client.close();
    await server.close();
  });
  return {
    fake,
    client,
    /** The daemon goes away … */
    stop: () => server.close(),
    /** … and comes back. */
    restart: async () => {
      server = await start();
    },
  };
}

/** The page over a fake daemon. */
export async function openFake(fake?: FakeInspection, options: BrowserContextOptions = {}) {
  const daemon = await fakeDaemon(fake);
  const { url } = await servedPage(daemon.client);
  const opened = await openPage(url, options);
  await opened.page.getByText("Live", { exact: true }).waitFor();
  return { ...daemon, ...opened };
}

/** Opens the sandbox of a pod by its name, with the keyboard. */
export async function openSandbox(page: Page, name: string): Promise<void> {
  await page.keyboard.press("/");
  await page.keyboard.type(name);
  await page.locator(".grid-row", { hasText: name }).first().press("Enter");
  await page.getByRole("heading", { level: 1, name }).waitFor();
}

/** The innermost active states of the chart that is shown. */
export async function activeStates(page: Page): Promise<string[]> {
  const items = await page.locator('.state[data-innermost="true"]').all();
  return Promise.all(items.map(async (item) => (await item.getAttribute("data-item")) ?? ""));
}

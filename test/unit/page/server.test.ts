/** The page's server, asked as browsers, websites and other programs of the machine would ask it. */
import { mkdir, writeFile } from "node:fs/promises";
import { request } from "node:http";
import path from "node:path";
import { expect, onTestFinished, test } from "vitest";
import type { Hello } from "../../../src/page/messages.ts";
import { PageServer } from "../../../src/page/server.ts";
import type { PageSource } from "../../../src/page/source.ts";
import { FakeInspection } from "../../support/fake-inspection/inspection.ts";
import { temporaryDirectory } from "../../support/temporary-directory.ts";

interface Answer {
  readonly status: number;
  readonly headers: Readonly<Record<string, unknown>>;
  readonly body: string;
}

interface Asked {
  readonly path: string;
  readonly headers?: Record<string, string>;
  readonly method?: string;
}

async function started(fake: FakeInspection | undefined = new FakeInspection()) {
  const directory = path.join(await temporaryDirectory(), "page");
  await mkdir(directory);
  await writeFile(path.join(directory, "index.html"), "<!doctype html>");
  await writeFile(path.join(directory, "page.js"), "");
  await writeFile(path.join(directory, "page.js.LEGAL.txt"), "");
  const source = fake && asSource(fake);
  const server = await PageServer.start({ version: "1.2.3", port: 0, directory, source, charts: [] });
  onTestFinished(() => server.stop());
  const url = new URL(server.url);
  const token = url.hash.slice("#token=".length);
  const ask = (asked: Asked) => answerOf(Number(url.port), asked);
  const asPage = (to: string) => ask({ path: to, headers: { authorization: `Bearer ${token}` } });
  return { url, token, ask, asPage };
}

function asSource(fake: FakeInspection): PageSource {
  return {
    node: async () => fake.node(),
    charts: async () => fake.charts(),
    get: (id) => fake.get(id),
    watch: (filter) => fake.watch(filter),
    logs: (...about) => fake.logs(...about),
  };
}

function answerOf(port: number, { path: to, headers = {}, method = "GET" }: Asked): Promise<Answer> {
  return new Promise((resolve, reject) => {
    const asked = request({ host: "127.0.0.1", port, path: to, method, headers }, (response) => {
      const pieces: Buffer[] = [];
      response.on("data", (piece: Buffer) => pieces.push(piece));
      response.on("end", () => {
        const body = Buffer.concat(pieces).toString();
        resolve({ status: response.statusCode ?? 0, headers: response.headers, body });
      });
      response.on("error", reject);
    });
    asked.on("error", reject).end();
  });
}

/** What has come of a stream until `enough` says so; then it is cut. */
function streamOf(
  port: string,
  to: string,
  token: string,
  enough: (text: string) => boolean,
): Promise<string> {
  return new Promise((resolve, reject) => {
    const headers = { authorization: `Bearer ${token}` };
    const asked = request({ host: "127.0.0.1", port, path: to, headers }, (response) => {
      let text = "";
      response.setEncoding("utf8").on("data", (piece: string) => {
        text += piece;
        if (!enough(text)) return;
        asked.destroy();
        resolve(text);
      });
      response.on("end", () => resolve(text));
    });
    asked.on("error", reject).end();
  });
}

test("the page is on loopback, and its token is in the part of the address that is never sent", async () => {
  const { url, token } = await started();
  expect(url.hostname).toBe("127.0.0.1");
  expect(url.search).toBe("");
  expect(token).toMatch(/^[\w-]{43}$/);
});

test("the page itself needs no token, and lets nothing foreign run", async () => {
  const { ask } = await started();
  const { status, headers, body } = await ask({ path: "/" });
  expect([status, body]).toEqual([200, "<!doctype html>"]);
  const policy = String(headers["content-security-policy"]);
  expect(policy).toContain("default-src 'none'");
  expect(policy).toContain("frame-ancestors 'none'");
  expect(policy).toContain("require-trusted-types-for 'script'");
  expect(policy).not.toMatch(/unsafe|\*|http/);
  expect(headers["referrer-policy"]).toBe("no-referrer");
  expect(headers["x-content-type-options"]).toBe("nosniff");
});

test("only files of the page are served, by their names", async () => {
  const { ask } = await started();
  expect((await ask({ path: "/page.js" })).status).toBe(200);
  for (const other of [
    "/page.js.LEGAL.txt",
    "/../package.json",
    "/%2e%2e/package.json",
    "//page.js",
    "/index.html/",
  ])
    expect((await ask({ path: other })).status, other).not.toBe(200);
});

test("data needs the token", async () => {
  const { ask, asPage, token } = await started();
  expect((await asPage("/api/node")).status).toBe(200);
  const wrong = { authorization: `Bearer ${token.slice(1)}x` };
  for (const headers of [{}, wrong, { cookie: `token=${token}` }, { authorization: token }]) {
    const { status, body } = await ask({ path: "/api/node", headers });
    expect(status).toBe(401);
    expect(body).not.toContain("pid");
  }
  expect((await ask({ path: `/api/node?token=${token}` })).status).toBe(401);
});

test("a name that leads to loopback by DNS is refused, with the right token, too", async () => {
  const { ask, token, url } = await started();
  const authorization = `Bearer ${token}`;
  for (const host of [
    "evil.example",
    `evil.example:${url.port}`,
    "127.0.0.1",
    `127.0.0.1:1`,
    `127.0.0.1.:${url.port}`,
  ])
    for (const to of ["/", "/api/node"])
      expect((await ask({ path: to, headers: { host, authorization } })).status, `${host}${to}`).toBe(403);
  for (const host of [`127.0.0.1:${url.port}`, `localhost:${url.port}`, `[::1]:${url.port}`])
    expect((await ask({ path: "/api/node", headers: { host, authorization } })).status, host).toBe(200);
});

test("another site's script is refused, also one of another port of this machine", async () => {
  const { ask, token, url } = await started();
  const authorization = `Bearer ${token}`;
  for (const origin of [
    "https://evil.example",
    "http://127.0.0.1:1",
    `https://127.0.0.1:${url.port}`,
    "null",
  ])
    expect((await ask({ path: "/api/node", headers: { origin, authorization } })).status, origin).toBe(403);
  const own = `http://127.0.0.1:${url.port}`;
  expect((await ask({ path: "/api/node", headers: { origin: own, authorization } })).status).toBe(200);
  for (const from of ["cross-site", "same-site", "none"])
    expect(
      (await ask({ path: "/api/node", headers: { "sec-fetch-site": from, authorization } })).status,
      from,
    ).toBe(403);
});

test("a link from elsewhere may lead to the page; a frame or a script of another site may not load it", async () => {
  const { ask } = await started();
  const from = (dest: string) =>
    ask({ path: "/", headers: { "sec-fetch-site": "cross-site", "sec-fetch-dest": dest } });
  expect((await from("document")).status).toBe(200);
  expect((await from("iframe")).status).toBe(403);
  expect((await from("script")).status).toBe(403);
});

test("nothing can be changed through the page", async () => {
  const { ask, token } = await started();
  for (const method of ["POST", "PUT", "DELETE", "PATCH", "OPTIONS"])
    expect(
      (await ask({ path: "/api/node", method, headers: { authorization: `Bearer ${token}` } })).status,
      method,
    ).toBe(405);
});

test("a sandbox and its logs are told, an unknown one is refused by name", async () => {
  const fake = new FakeInspection();
  const id = fake.startPod({ name: "web", namespace: "shop", path: "pool", containers: 1 });
  fake.advance(1_000);
  const { asPage } = await started(fake);
  expect(JSON.parse((await asPage(`/api/sandboxes/${id}`)).body)).toEqual(await fake.get(id));
  expect((await asPage(`/api/sandboxes/${id}/logs/console?tail=100000`)).body).toContain("Linux version");
  const unknown = await asPage("/api/sandboxes/none");
  expect(unknown.status).toBe(404);
  expect(JSON.parse(unknown.body)).toMatchObject({ code: "SandboxNotFound" });
  expect((await asPage("/api/watch?entries=none")).status).toBe(404);
  for (const wrong of ["/api/sandboxes", `/api/sandboxes/${id}/logs/shadow`, "/api/other", "/api/%ff"])
    expect((await asPage(wrong)).status, wrong).toBe(404);
});

test("one stream has the fleet, and the entries of the sandboxes that are asked for", async () => {
  const fake = new FakeInspection();
  const plan = { namespace: "shop", path: "pool", containers: 0 } as const;
  const [web, db] = [fake.startPod({ ...plan, name: "web" }), fake.startPod({ ...plan, name: "db" })];
  const { url, token } = await started(fake);
  const going = streamOf(url.port, `/api/watch?entries=${web}`, token, (text) =>
    text.includes("ready.running"),
  );
  const timer = setInterval(() => fake.advance(50), 5);
  const text = await going;
  clearInterval(timer);
  const messages = text
    .split("\n\n")
    .flatMap((block) => (block.startsWith("data: {") ? [JSON.parse(block.slice(6))] : []));
  expect(messages[0]).toEqual({ from: "fleet", event: { type: "reset" } });
  const from = (source: string, type: string) =>
    messages.filter((message) => message.from === source && message.event.type === type);
  expect(new Set(from("fleet", "summary").map(({ event }) => event.summary.id))).toEqual(new Set([web, db]));
  expect(from(web, "entry").length).toBeGreaterThan(0);
  expect(from("fleet", "entry")).toEqual([]);
  expect(from(db, "entry")).toEqual([]);
});

test("a stream that the daemon ends says why", async () => {
  const fake = new FakeInspection();
  const failing: PageSource = {
    ...asSource(fake),
    watch: () => ({
      subscribe: (observer) => {
        observer.error(new Error("the daemon went away"));
        return { unsubscribe: () => undefined };
      },
    }),
  };
  const directory = await temporaryDirectory();
  const server = await PageServer.start({ version: "1", port: 0, directory, source: failing, charts: [] });
  onTestFinished(() => server.stop());
  const url = new URL(server.url);
  const text = await streamOf(url.port, "/api/watch", url.hash.slice("#token=".length), () => false);
  expect(text).toContain('event: end\ndata: {"reason":"the daemon went away"}');
});

test("without a daemon there are charts and nothing else", async () => {
  const { asPage } = await startedOffline();
  const hello = JSON.parse((await asPage("/api/hello")).body) as Hello;
  expect(hello).toEqual({ version: "1.2.3", mode: "offline", charts: [] });
  expect((await asPage("/api/node")).status).toBe(404);
});

async function startedOffline() {
  const directory = await temporaryDirectory();
  const server = await PageServer.start({ version: "1.2.3", port: 0, directory, charts: [] });
  onTestFinished(() => server.stop());
  const url = new URL(server.url);
  const headers = { authorization: `Bearer ${url.hash.slice("#token=".length)}` };
  return { asPage: (to: string) => answerOf(Number(url.port), { path: to, headers }) };
}

test("a port that is taken, and a page that is not built, are told in words", async () => {
  const { url } = await started();
  const directory = await temporaryDirectory();
  const options = { version: "1", directory, charts: [] };
  await expect(PageServer.start({ ...options, port: Number(url.port) })).rejects.toMatchObject({
    code: "PortInUse",
  });
  await expect(PageServer.start({ ...options, port: 0, directory: `${directory}/no` })).rejects.toMatchObject(
    {
      code: "DependencyMissing",
    },
  );
});

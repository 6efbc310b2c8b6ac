/**
 * What is below `/api/`: questions to the daemon, answered as JSON, as server-sent events or as a log's bytes.
 *
 * Requests that come here have passed the guard. Every answer is read-only.
 */
import type { ServerResponse } from "node:http";
import { reasonOf } from "../contracts/errors.ts";
import type { ChartDefinition, LogName } from "../contracts/inspection.ts";
import { streamBytes, streamEvents } from "./event-stream.ts";
import { API } from "./guard.ts";
import type { Hello, Refused } from "./messages.ts";
import type { PageSource } from "./source.ts";

/** What the page shows. */
export interface Shown {
  readonly version: string;
  /** Absent: there is no daemon. */
  readonly source?: PageSource | undefined;
  /** Used while there is no daemon. */
  readonly charts: readonly ChartDefinition[];
}

/** Ids in one `/api/watch`; the page shows two side by side. */
const MAX_WATCHED = 4;
const MAX_TAIL = 4 << 20;
const DEFAULT_TAIL = 256 << 10;
const LOG_NAMES: readonly LogName[] = ["vmm", "console", "agent"];

/** Answers a question below `/api/`. */
export function answer(url: URL, response: ServerResponse, shown: Shown): void {
  try {
    route(url, response, shown);
  } catch (error) {
    fail(response, error);
  }
}

function route(url: URL, response: ServerResponse, shown: Shown): void {
  const [what = "", ...rest] = url.pathname.slice(API.length).split("/").map(decoded);
  const { source } = shown;
  if (what === "hello" && rest.length === 0) return reply(response, hello(shown));
  if (source === undefined) return refuse(response, 404, "Unimplemented", "there is no daemon: --offline");
  const [id, part, log, ...none] = rest;
  if (what === "node" && id === undefined) return reply(response, source.node());
  if (what === "watch" && id === undefined) return watch(url, response, source);
  if (what !== "sandboxes" || id === undefined) return unknown(response, url);
  if (part === undefined) return reply(response, source.get(id));
  const name = LOG_NAMES.find((known) => known === log);
  if (part !== "logs" || name === undefined || none.length > 0) return unknown(response, url);
  const options = { tailBytes: tailOf(url), follow: url.searchParams.get("follow") === "1" };
  streamBytes(response, source.logs(id, name, options), (error) => fail(response, error));
}

/** Answers that there was a failure, in words. */
export function refuse(response: ServerResponse, status: number, code: string, message: string): void {
  const body: Refused = { code, message };
  response.writeHead(status, { "content-type": "application/json" }).end(JSON.stringify(body));
}

async function hello({ version, source, charts }: Shown): Promise<Hello> {
  if (source === undefined) return { version, mode: "offline", charts };
  return { version, mode: "live", charts: await source.charts() };
}

function watch(url: URL, response: ServerResponse, source: PageSource): void {
  const ids = url.searchParams.getAll("entries");
  if (ids.length > MAX_WATCHED) return refuse(response, 400, "InvalidArgument", "too many sandboxes");
  const sources = new Map([["fleet", source.watch({ entries: false })]]);
  for (const id of ids) sources.set(id, source.watch({ sandboxId: id, entries: true }));
  streamEvents(response, sources);
}

function reply(response: ServerResponse, question: Promise<unknown>): void {
  question.then(
    (body) => response.writeHead(200, { "content-type": "application/json" }).end(JSON.stringify(body)),
    (error: unknown) => fail(response, error),
  );
}

function fail(response: ServerResponse, error: unknown): void {
  const code = codeOf(error);
  refuse(response, code === "SandboxNotFound" ? 404 : 502, code, reasonOf(error));
}

/** By name: each bundle has a BlazarError class of its own. */
function codeOf(error: unknown): string {
  const named = error instanceof Error && "code" in error ? error.code : undefined;
  return typeof named === "string" ? named : "Internal";
}

function unknown(response: ServerResponse, url: URL): void {
  refuse(response, 404, "InvalidArgument", `nothing is at ${url.pathname}`);
}

function tailOf(url: URL): number {
  const asked = Number(url.searchParams.get("tail") ?? DEFAULT_TAIL);
  return Number.isInteger(asked) && asked >= 0 ? Math.min(asked, MAX_TAIL) : DEFAULT_TAIL;
}

function decoded(part: string): string {
  try {
    return decodeURIComponent(part);
  } catch {
    return "";
  }
}

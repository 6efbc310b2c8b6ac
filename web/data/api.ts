/** Questions to the page's server (src/page/routes.ts). */
import type { LogName, NodeStatus, SandboxDetail } from "../../src/contracts/inspection.ts";
import type { Hello, Refused } from "../../src/page/messages.ts";
import { authorization } from "./session.ts";

/** An answer that is no success. */
export class Refusal extends Error {
  override readonly name = "Refusal";
  constructor(
    readonly status: number,
    readonly code: string,
    message: string,
  ) {
    super(message);
  }
}

/** Status of a {@link Refusal} when nobody has answered. */
export const NO_ANSWER = 0;

export function askHello(): Promise<Hello> {
  return ask("/api/hello");
}

export function askNode(signal: AbortSignal): Promise<NodeStatus> {
  return ask("/api/node", signal);
}

export function askDetail(id: string, signal: AbortSignal): Promise<SandboxDetail> {
  return ask(`/api/sandboxes/${encodeURIComponent(id)}`, signal);
}

/** A log as it grows. */
export function openLog(id: string, log: LogName, signal: AbortSignal): Promise<Response> {
  return request(`/api/sandboxes/${encodeURIComponent(id)}/logs/${log}?follow=1`, signal);
}

export function openWatch(ids: readonly string[], signal: AbortSignal): Promise<Response> {
  const query = ids.map((id) => `entries=${encodeURIComponent(id)}`).join("&");
  return request(`/api/watch?${query}`, signal);
}

async function ask<Answer>(path: string, signal?: AbortSignal): Promise<Answer> {
  return (await (await request(path, signal)).json()) as Answer;
}

async function request(path: string, signal?: AbortSignal): Promise<Response> {
  const options = { headers: authorization(), ...(signal === undefined ? {} : { signal }) };
  const response = await fetch(path, options).catch((cause: unknown) => {
    if (signal?.aborted === true) throw cause;
    throw new Refusal(NO_ANSWER, "RemoteUnavailable", "blazar ui does not answer: start it again");
  });
  if (response.ok) return response;
  const { code, message } = (await response.json().catch(() => ({ code: "", message: "" }))) as Refused;
  throw new Refusal(response.status, code, message === "" ? `status ${response.status}` : message);
}

/**
 * Decides whether a request is the page's own: Host, Origin and Fetch Metadata (W3C) are checked, and the token.
 *
 * Every local process and every website that the operator's browser shows can reach a loopback port. A foreign Host is DNS
 * rebinding. A foreign Origin is another site's script. The token is in a header that only the page's script sets: there is
 * no cookie, which other ports of this machine would be sent as well. Must not answer, only decide.
 */
import { createHash, timingSafeEqual } from "node:crypto";
import type { IncomingHttpHeaders } from "node:http";
import type { Refused } from "./messages.ts";

export interface GuardedRequest {
  readonly method: string;
  /** Path without the query. */
  readonly path: string;
  readonly headers: IncomingHttpHeaders;
}

/** Where the page is served, and who may ask. */
export interface Site {
  readonly port: number;
  readonly token: string;
}

export interface Refusal extends Refused {
  readonly status: number;
}

/** What is below this path tells of sandboxes, and needs the token. */
export const API = "/api/";

/** Why the request is refused; undefined if it is not. */
export function refusalOf(request: GuardedRequest, site: Site): Refusal | undefined {
  const { method, path, headers } = request;
  if (method !== "GET" && method !== "HEAD") return refusal(405, "the page only reads");
  const host = headers.host ?? "";
  if (!namesOf(site.port).includes(host)) return refusal(403, "the request names another host");
  if (headers.origin !== undefined && headers.origin !== `http://${host}`)
    return refusal(403, "another site asks");
  if (!sameSite(headers, path.startsWith(API))) return refusal(403, "another site asks");
  if (path.startsWith(API) && !hasToken(headers.authorization, site.token))
    return refusal(401, "the token is missing or wrong: open the address that blazar ui has printed");
  return undefined;
}

function namesOf(port: number): readonly string[] {
  return ["127.0.0.1", "localhost", "[::1]"].map((name) => `${name}:${port}`);
}

/** Browsers tell who asks. A link from elsewhere may lead to the page, but not into a frame, and never to data. */
function sameSite(headers: IncomingHttpHeaders, isData: boolean): boolean {
  const from = headers["sec-fetch-site"];
  if (from === undefined || from === "same-origin") return true;
  if (isData) return false;
  return from === "none" || headers["sec-fetch-dest"] === "document";
}

function hasToken(authorization: string | undefined, token: string): boolean {
  const given = /^Bearer (\S+)$/.exec(authorization ?? "")?.[1] ?? "";
  return timingSafeEqual(digest(given), digest(token));
}

/** Of equal length, whatever was given. */
function digest(text: string): Buffer {
  return createHash("sha256").update(text).digest();
}

function refusal(status: number, message: string): Refusal {
  return { status, code: "PermissionDenied", message };
}

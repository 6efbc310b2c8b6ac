/**
 * The page's files: read once from the bundle's folder, and answered with headers that let nothing foreign run.
 *
 * Content Security Policy level 3: scripts, styles, fonts and workers come from here only, nothing is inline, nothing is
 * evaluated, and the page may be in no frame. Trusted Types refuse `innerHTML`; the one policy makes the worker's address.
 */
import { readdir, readFile } from "node:fs/promises";
import type { OutgoingHttpHeaders } from "node:http";
import path from "node:path";
import { blazarError } from "../contracts/errors.ts";

export interface PageFile {
  readonly type: string;
  readonly content: Buffer;
}

const TYPES: Readonly<Record<string, string>> = {
  ".html": "text/html; charset=utf-8",
  ".js": "text/javascript; charset=utf-8",
  ".css": "text/css; charset=utf-8",
  ".svg": "image/svg+xml",
  ".woff2": "font/woff2",
};

const POLICY = [
  "default-src 'none'",
  "script-src 'self'",
  "style-src 'self'",
  "font-src 'self'",
  "img-src 'self'",
  "connect-src 'self'",
  "worker-src 'self'",
  "base-uri 'none'",
  "form-action 'none'",
  "frame-ancestors 'none'",
  "require-trusted-types-for 'script'",
  "trusted-types blazar",
].join("; ");

/** Of every answer. */
export const SAFE_HEADERS: OutgoingHttpHeaders = {
  "content-security-policy": POLICY,
  "cross-origin-opener-policy": "same-origin",
  "cross-origin-resource-policy": "same-origin",
  "cross-origin-embedder-policy": "require-corp",
  "permissions-policy": "camera=(), geolocation=(), microphone=()",
  "referrer-policy": "no-referrer",
  "x-content-type-options": "nosniff",
  "x-frame-options": "DENY",
  "cache-control": "no-store",
};

/** All files of the page by their paths in the URL; "/" is the page itself. */
export async function readPageFiles(directory: string): Promise<ReadonlyMap<string, PageFile>> {
  const names = await readdir(directory).catch((cause: unknown) => {
    const about = { subject: directory, remedy: "npm run build", cause };
    throw blazarError("DependencyMissing", "read the page's files", "the page is not built", about);
  });
  const files = new Map<string, PageFile>();
  for (const name of names) {
    const type = TYPES[path.extname(name)];
    if (type === undefined) continue;
    const content = await readFile(path.join(directory, name));
    files.set(name === "index.html" ? "/" : `/${name}`, { type, content });
  }
  return files;
}

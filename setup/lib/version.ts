/**
 * The product's version: written in package.json, and put into bundles in place of the name BLAZAR_VERSION.
 */
import { readFileSync } from "node:fs";
import path from "node:path";
import { repoRoot } from "./paths.ts";

/** `0.1.0`. */
export function productVersion(): string {
  const text = readFileSync(path.join(repoRoot(), "package.json"), "utf8");
  return (JSON.parse(text) as { readonly version: string }).version;
}

/** For esbuild's and vite's `define`. */
export function versionDefine(version = productVersion()) {
  return { BLAZAR_VERSION: JSON.stringify(version) };
}

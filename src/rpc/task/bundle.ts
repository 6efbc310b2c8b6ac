/**
 * Reads a task's bundle: the OCI spec, and which sandbox the container belongs to.
 *
 * Task.Create does not name the sandbox. containerd 2.1 writes its id into the bundle's file `sandbox` before the call
 * (core/runtime/v2, for shims of version 3), and CRI repeats it in the spec's annotations. The files are read
 * synchronously: containerd has just written them to /run, so they are in memory, and each asynchronous read would make
 * four trips to a thread. Must not judge the spec.
 */
import { existsSync, readFileSync } from "node:fs";
import path from "node:path";
import { blazarError, reasonOf } from "../../contracts/errors.ts";
import { parseExactly } from "./exact-json.ts";

const SANDBOX_FILE = "sandbox";
const SPEC_FILE = "config.json";
const SANDBOX_ANNOTATION = "io.kubernetes.cri.sandbox-id";

export interface Bundle {
  /** Undefined if neither the bundle nor the spec names one. */
  readonly sandboxId: string | undefined;
  /** config.json, parsed. Integers of its seccomp profile that a number would round are strings of digits. */
  readonly spec: unknown;
}

/** @throws BlazarError `InvalidSpec` if there is no readable config.json */
export function readBundle(directory: string): Bundle {
  const spec = readSpec(directory);
  return { sandboxId: readSandboxFile(directory) ?? annotatedSandbox(spec), spec };
}

function readSandboxFile(directory: string): string | undefined {
  const file = path.join(directory, SANDBOX_FILE);
  // containerd writes none where the container was not made for a sandbox
  if (!existsSync(file)) return undefined;
  const text = readFileSync(file, "utf8").trim();
  return text === "" ? undefined : text;
}

function readSpec(directory: string): unknown {
  const file = path.join(directory, SPEC_FILE);
  try {
    return withExactSeccomp(readFileSync(file, "utf8"));
  } catch (cause) {
    throw blazarError("InvalidSpec", "read the container's spec", reasonOf(cause), { subject: file, cause });
  }
}

/** Masks of a profile are compared bit by bit; elsewhere only the size of such a number matters. */
function withExactSeccomp(text: string): unknown {
  const spec = JSON.parse(text) as { readonly linux?: { readonly seccomp?: unknown } } | null;
  if (spec?.linux?.seccomp === undefined || !hasRounded(spec.linux.seccomp)) return spec;
  const exact = parseExactly(text) as { readonly linux: { readonly seccomp: unknown } };
  return { ...spec, linux: { ...spec.linux, seccomp: exact.linux.seccomp } };
}

function hasRounded(value: unknown): boolean {
  if (typeof value === "number") return !Number.isSafeInteger(value);
  return typeof value === "object" && value !== null && Object.values(value).some(hasRounded);
}

function annotatedSandbox(spec: unknown): string | undefined {
  if (typeof spec !== "object" || spec === null || !("annotations" in spec)) return undefined;
  const annotations: unknown = spec.annotations;
  if (typeof annotations !== "object" || annotations === null) return undefined;
  const id: unknown = (annotations as Record<string, unknown>)[SANDBOX_ANNOTATION];
  return typeof id === "string" && id !== "" ? id : undefined;
}

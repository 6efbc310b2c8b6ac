/**
 * Reads what containerd left in a task's bundle: the spec and the sandbox it belongs to.
 *
 * Task.Create does not name the sandbox. containerd 2.1 writes its id into the file `sandbox` of the bundle
 * before it calls (core/runtime/v2, for every shim of version 3), and CRI repeats it in the spec's
 * annotations. Nothing here judges the spec; that is for whoever makes the container.
 */
import { readFile } from "node:fs/promises";
import path from "node:path";
import { BlazarError, reasonOf } from "../../contracts/errors.ts";

const SANDBOX_FILE = "sandbox";
const SPEC_FILE = "config.json";
const SANDBOX_ANNOTATION = "io.kubernetes.cri.sandbox-id";

export interface Bundle {
  /** Absent if neither the bundle nor the spec names one. */
  readonly sandboxId: string | undefined;
  /** config.json, parsed. */
  readonly spec: unknown;
}

/** @throws BlazarError `InvalidSpec` if there is no readable config.json */
export async function readBundle(directory: string): Promise<Bundle> {
  const [sandbox, spec] = await Promise.all([readSandboxFile(directory), readSpec(directory)]);
  return { sandboxId: sandbox ?? annotatedSandbox(spec), spec };
}

async function readSandboxFile(directory: string): Promise<string | undefined> {
  // absent when containerd took the address from elsewhere than a sandbox
  const text = await readFile(path.join(directory, SANDBOX_FILE), "utf8").catch(() => "");
  return text.trim() === "" ? undefined : text.trim();
}

async function readSpec(directory: string): Promise<unknown> {
  const file = path.join(directory, SPEC_FILE);
  try {
    return JSON.parse(await readFile(file, "utf8")) as unknown;
  } catch (cause) {
    throw new BlazarError("InvalidSpec", {
      operation: "read the container's spec",
      subject: file,
      reason: reasonOf(cause),
      cause,
    });
  }
}

function annotatedSandbox(spec: unknown): string | undefined {
  if (typeof spec !== "object" || spec === null || !("annotations" in spec)) return undefined;
  const annotations: unknown = spec.annotations;
  if (typeof annotations !== "object" || annotations === null) return undefined;
  const id: unknown = (annotations as Record<string, unknown>)[SANDBOX_ANNOTATION];
  return typeof id === "string" && id !== "" ? id : undefined;
}

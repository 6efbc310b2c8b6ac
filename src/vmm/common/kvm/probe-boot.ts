/**
 * A boot for its own sake: a small VM that is thrown away as soon as its agent has sent one valid frame.
 *
 * It ends early when the VM stops by itself, as it does under a KVM that meets an instruction it cannot run. Then its last words
 * are part of the error.
 */
import { chown, mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { basename, join } from "node:path";
import { BlazarError, blazarError } from "../../../contracts/errors.ts";
import type { ByteLink, Vm, VmmEvent, VmSpec } from "../../../contracts/vm.ts";
import { deferred, withDeadline } from "../../../lib/async.ts";
import { GUEST_MAX_FRAME_BYTES } from "../../../protocol/wire/frame.ts";
import { FrameDecoder } from "../../../protocol/wire/frame-decoder.ts";

const MEMORY_BYTES = 256 * 1024 * 1024;
const BOOT = "boot a guest";

/** Of a guest's last words, those that are part of an error. */
const SHOWN_LINES = 6;

/**
 * Launches by `launch` and resolves when the agent has spoken. Rejects with DeadlineExceeded after `deadlineMs`, and with
 * GuestNotReady if the guest ends before.
 */
export async function bootOnce(
  launch: (spec: VmSpec) => Promise<Vm>,
  deadlineMs: number,
  user?: VmSpec["user"],
): Promise<void> {
  const directory = await mkdtemp(join(tmpdir(), "blazar-probe-"));
  try {
    if (user !== undefined) await chown(directory, user.uid, user.gid);
    const vm = await launch({
      id: basename(directory),
      directory,
      vcpus: 1,
      memoryBytes: MEMORY_BYTES,
      nics: 0,
      user,
      cgroups: [],
      source: { kind: "boot" },
    });
    try {
      await agentSpeaks(vm, deadlineMs);
    } catch (error) {
      throw await withLastWords(error, vm);
    } finally {
      await vm.kill();
    }
  } finally {
    await rm(directory, { recursive: true, force: true });
  }
}

/** What killed it is said there, or nowhere. */
async function withLastWords(error: unknown, vm: Vm): Promise<unknown> {
  if (!(error instanceof BlazarError && error.code === "GuestNotReady")) return error;
  const lines = (await vm.diagnostics()).split("\n").filter((line) => line.trim() !== "");
  const words = lines.length === 0 ? "it said nothing" : lines.slice(-SHOWN_LINES).join(" | ");
  return blazarError("GuestNotReady", BOOT, `${error.details.reason}; its last words: ${words}`, {
    cause: error,
  });
}

async function agentSpeaks(vm: Vm, deadlineMs: number): Promise<void> {
  const link = await vm.connectAgent();
  const spoken = deferred<void>();
  const fail = (reason: string): void => spoken.reject(notReady(vm.id, reason));
  vm.events.subscribe({
    next: (event: VmmEvent) => fail(`it ended first (${event.type})`),
    error: () => fail("its events broke off"),
    complete: () => undefined,
  });
  hear(link, () => spoken.resolve(), fail);
  const late = (): BlazarError =>
    blazarError("DeadlineExceeded", BOOT, `its agent said nothing in ${deadlineMs} ms`);
  await withDeadline(spoken.promise, deadlineMs, late).finally(() => link.close());
}

/** Waits for one frame. */
function hear(link: ByteLink, heard: () => void, fail: (reason: string) => void): void {
  const decoder = new FrameDecoder(GUEST_MAX_FRAME_BYTES);
  link.open({
    onData: (bytes) => {
      try {
        decoder.push(bytes, heard);
      } catch {
        fail("it sent noise");
      }
    },
    onClose: () => fail("its port was closed"),
  });
}

function notReady(id: string, reason: string): BlazarError {
  return blazarError("GuestNotReady", BOOT, reason, { subject: id });
}

/**
 * Checks that VMs made from the same memory share nothing: not name, share, shared memory or random numbers. Their clocks
 * must show the present, not the time at which the memory was saved. The same checks serve clones and forks.
 */
import { mkdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { expect } from "vitest";
import type { Guest } from "./bench/template.ts";

const CLOCK_OFF_BY_SECONDS = 30;

/** Puts the VM's id into its share, where its containers see it as /shared/name. */
export async function markShare({ vm, share }: Guest): Promise<void> {
  await mkdir(join(share, "shared"));
  await writeFile(join(share, "shared", "name"), vm.id);
}

/** Sets up guests whose shares are marked, and looks at each from within. */
export async function expectIsolated(guests: readonly Guest[]): Promise<void> {
  await Promise.all(guests.map((guest, index) => guest.setUp(`guest-${index}`)));
  const said = await Promise.all(guests.map((guest, index) => guest.run(script(index))));
  for (const [index, text] of said.entries()) {
    const [hostname, shared, time] = (text.split("\n")[0] ?? "").split(" ");
    expect([hostname, shared]).toEqual([`guest-${index}`, guests[index]?.vm.id]);
    expect(Math.abs(Number(time) - Date.now() / 1000)).toBeLessThan(CLOCK_OFF_BY_SECONDS);
  }
  const random = said.map((text) => text.split("\n")[1]);
  for (const bytes of random) expect(bytes).toMatch(/^[0-9a-f]{64}$/);
  expect(new Set(random).size).toBe(guests.length);
  const seen = await Promise.all(guests.map((guest) => guest.run("ls /dev/shm")));
  expect(seen.map((text) => text.trim())).toEqual(guests.map((_, index) => String(index)));
}

/** Leaves its number in shared memory, and tells who and when it is, and what is random to it. */
function script(index: number): string {
  return [
    `echo ${index} > /dev/shm/${index}`,
    "echo $(hostname) $(cat /shared/name) $(date +%s)",
    "head -c 32 /dev/urandom | od -An -v -tx1 | tr -d ' \\n'",
  ].join("; ");
}

/** That a running VMM is in a jail that is sealed: by what the kernel says of it from outside (proc(5)). */
import { readdir, readFile, readlink } from "node:fs/promises";
import { expect } from "vitest";
import type { Vm } from "../../../src/contracts/vm.ts";

const NAMESPACES = ["mnt", "pid", "ipc", "uts", "net"];
/** The jail's, the list of what QEMU calls, and QEMU's own. */
const FILTERS = 3;
/** Of a fork: its original's list is over it, too. */
export const FILTERS_OF_FORK = FILTERS + 1;
const NONE = "0000000000000000";

/** Takes a test that is root. */
export async function expectJailed(
  { identity: { pid } }: Pick<Vm, "identity">,
  filters = FILTERS,
): Promise<void> {
  for (const name of NAMESPACES)
    expect([name, await readlink(`/proc/${pid}/ns/${name}`)]).not.toContain(
      await readlink(`/proc/self/ns/${name}`),
    );
  expect(await readdir(`/proc/${pid}/root`)).toEqual([]);
  expect(await readdir(`/proc/${pid}/cwd`)).toEqual([]);
  const mounts = (await readFile(`/proc/${pid}/mountinfo`, "utf8")).trim().split("\n");
  expect(mounts).toHaveLength(1);
  expect(mounts[0]).toMatch(/ \/ \/ ro,nosuid,nodev,noexec/);
  const links = (await readFile(`/proc/${pid}/net/dev`, "utf8")).trim().split("\n").slice(2);
  expect(links.map((line) => line.trim().split(":")[0])).toEqual(["lo"]);
  await expectPowerless(pid, filters);
}

/** Every thread is without capabilities, for good, and under its filters. */
async function expectPowerless(pid: number, filters: number): Promise<void> {
  for (const thread of await readdir(`/proc/${pid}/task`)) {
    const text = await readFile(`/proc/${pid}/task/${thread}/status`, "utf8");
    const status = new Map(text.split("\n").map((line) => line.split(":\t", 2) as [string, string]));
    for (const set of ["CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"])
      expect([set, status.get(set)]).toEqual([set, NONE]);
    expect(status.get("NoNewPrivs")).toBe("1");
    expect(status.get("Seccomp_filters")).toBe(String(filters));
    expect(status.get("NSpid")?.split("\t")).toHaveLength(2);
  }
}

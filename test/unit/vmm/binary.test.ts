/** Which of a host's QEMUs VMs with KVM run on. */
import { chmod, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { programForKvm } from "../../../src/vmm/qemu/binary.ts";
import { temporaryDirectory } from "../../support/temporary-directory.ts";

const LIBRARY = "/cache/fork.so";

interface Program {
  readonly version: string;
  readonly hasFilter: boolean;
}

/** Programs that tell a version, and whether they know of `-sandbox`. @returns the larger one's path */
async function qemus(all: Readonly<Record<string, Program>>): Promise<string> {
  const directory = await temporaryDirectory();
  for (const [name, { version, hasFilter }] of Object.entries(all)) {
    const refusal = hasFilter ? "" : '[ "$1" = -sandbox ] && exit 1\n';
    await writeFile(join(directory, name), `#!/bin/sh\n${refusal}echo QEMU emulator version ${version}\n`);
    await chmod(join(directory, name), 0o755);
  }
  return join(directory, "qemu");
}

const LARGER = { version: "7.2.22", hasFilter: true };
const SMALLER = { version: "7.2.22", hasFilter: false };

describe("the QEMU of VMs with KVM", () => {
  it("is the smaller one beside the other, with a library in the place of the filter that it lacks", async () => {
    const binary = await qemus({ qemu: LARGER, "qemu-microvm": SMALLER });
    const found = await programForKvm(binary, "7.2.22", LIBRARY);
    expect(found).toEqual({ binary: `${binary}-microvm`, filterLibrary: LIBRARY });
  });

  it("is the larger one where there is no library, or it would be all that holds a VM in no jail", async () => {
    const binary = await qemus({ qemu: LARGER, "qemu-microvm": SMALLER });
    expect(await programForKvm(binary, "7.2.22", undefined)).toEqual({ binary, filterLibrary: undefined });
  });

  it("needs no library where it has its own filter", async () => {
    const binary = await qemus({ qemu: LARGER, "qemu-microvm": { ...SMALLER, hasFilter: true } });
    const smaller = { binary: `${binary}-microvm`, filterLibrary: undefined };
    expect(await programForKvm(binary, "7.2.22", LIBRARY)).toEqual(smaller);
    expect(await programForKvm(binary, "7.2.22", undefined)).toEqual(smaller);
  });

  it("is the larger one where the smaller one is of another version, or is not there", async () => {
    const other = await qemus({ qemu: LARGER, "qemu-microvm": { ...SMALLER, version: "8.0.0" } });
    const alone = await qemus({ qemu: LARGER });
    for (const binary of [other, alone])
      expect(await programForKvm(binary, "7.2.22", LIBRARY)).toEqual({ binary, filterLibrary: undefined });
  });
});

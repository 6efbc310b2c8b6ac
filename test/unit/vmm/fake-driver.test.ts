/** The fake driver keeps the promises of the port: what is tested on it holds for a real one. */
import type { VmSpec } from "../../../src/contracts/vm.ts";
import { type VmmBench, vmmConformance } from "../../support/conformance/vmm.ts";
import { FakeVmmDriver } from "../../support/fake-vmm/driver.ts";

const MEBIBYTE = 1024 * 1024;

function spec(id: string): VmSpec {
  return {
    id,
    directory: `/nowhere/${id}`,
    vcpus: 1,
    memoryBytes: 256 * MEBIBYTE,
    shareDirectory: undefined,
    user: undefined,
    cgroups: [],
  };
}

async function makeBench(): Promise<VmmBench> {
  const driver = new FakeVmmDriver();
  const failing = new FakeVmmDriver({ faults: () => ({ launch: "fails" }) });
  const hanging = new FakeVmmDriver({ faults: () => ({ launch: "hangs" }) });
  return {
    driver,
    failing,
    hanging,
    hangEndsWith: undefined,
    spec: async (id) => spec(id),
    diskImage: async () => "/nowhere/disk.img",
    killFromOutside: async (vm) => driver.vm(vm.id).die(-1, 9),
    leftovers: async () => [driver, failing, hanging].flatMap(({ running }) => running),
    dispose: async () => undefined,
  };
}

vmmConformance("fake", makeBench);

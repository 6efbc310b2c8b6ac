/** QEMU itself, under the keeper itself, against the promises of the port. */
import { QemuBench } from "../support/qemu-bench.ts";
import { vmmConformance } from "../support/vmm-conformance.ts";

vmmConformance("qemu", () => QemuBench.start());

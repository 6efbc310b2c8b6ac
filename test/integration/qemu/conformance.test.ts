/** QEMU itself, under the keeper itself, against the promises of the port. */
import { QemuBench } from "../../support/bench/qemu.ts";
import { vmmConformance } from "../../support/conformance/vmm.ts";

vmmConformance("qemu", () => QemuBench.start());

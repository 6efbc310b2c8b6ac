/** Clones of real guests are VMs like all others: the promises of the port, on a driver whose VMs are clones. */
import { builtTemplate } from "../../support/bench/built-template.ts";
import { TemplateBench } from "../../support/bench/template.ts";
import { vmmConformance } from "../../support/conformance/vmm.ts";

const template = builtTemplate();

vmmConformance("qemu, clones", async () => (await TemplateBench.start()).conformance(template()));

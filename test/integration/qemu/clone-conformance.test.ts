/** Clones and forks of real guests against the promises of the ports that are theirs alone. */
import { builtTemplate } from "../../support/bench/built-template.ts";
import { EXPECTED } from "../../support/bench/qemu.ts";
import { TemplateBench } from "../../support/bench/template.ts";
import { cloneConformance } from "../../support/conformance/clones.ts";

const template = builtTemplate();

cloneConformance("qemu", async () => (await TemplateBench.start()).cloning(template()), EXPECTED === "tcg");

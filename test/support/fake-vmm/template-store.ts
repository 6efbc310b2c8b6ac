/**
 * A store of templates in memory, for whoever starts VMs: every shape has a template at once, unless a test says no.
 *
 * The leases that are out can be seen: one that nobody releases is a fault of whoever took it.
 */
import type { Template, TemplateLease, TemplateStore } from "../../../src/contracts/templates.ts";
import type { VmShape } from "../../../src/contracts/vm.ts";
import type { FakeTemplates } from "./templates.ts";

export class FakeTemplateStore implements Pick<TemplateStore, "use"> {
  /** While true there is no template of any shape: whoever asks has to boot. */
  empty = false;
  /** Leases that were taken and are not released. */
  readonly leases = new Set<TemplateLease>();
  /** How many leases were given in all. */
  given = 0;
  /** Keys of templates that no VM could be cloned from. */
  readonly distrusted: string[] = [];

  constructor(private readonly driver: FakeTemplates) {}

  async use(shape: VmShape): Promise<TemplateLease | undefined> {
    if (this.empty) return undefined;
    const template = await this.templateOf(shape);
    const lease: TemplateLease = {
      template,
      distrust: () => void this.distrusted.push(template.key),
      release: () => void this.leases.delete(lease),
    };
    this.leases.add(lease);
    this.given++;
    return lease;
  }

  private async templateOf(shape: VmShape): Promise<Template> {
    const identity = await this.driver.identify(shape);
    const directory = `/templates/${identity.key}`;
    if (!this.driver.all.has(directory)) this.driver.add(directory, shape);
    const then = new Date(0);
    const { key } = identity;
    return { key, directory, shape, identity, createdAt: then, lastUsedAt: then, bytes: 0 };
  }
}

/**
 * `blazar template build|ls|rm|verify`: reads options, calls standalone/templates.ts and prints what comes of it.
 */
import type { Logger } from "../contracts/logger.ts";
import { LineLog } from "../standalone/logs/line-log.ts";
import { verboseLog } from "../standalone/logs/verbose-log.ts";
import { readMachine } from "../standalone/machine.ts";
import { stepTable, templateTable } from "../standalone/template-tables.ts";
import { TemplateAdmin } from "../standalone/templates.ts";
import { FAILED, printed } from "./printed.ts";

/** What all of them take. */
export interface TemplateOptions {
  /** The daemon's configuration file. */
  readonly config?: string;
  /** Shows what is done and how long it took. */
  readonly verbose?: boolean;
}

/** What `build` takes besides. */
export interface TemplateBuildOptions extends TemplateOptions {
  readonly memory?: string;
  readonly cpus?: string;
}

/** What `ls` takes besides. */
export interface TemplateListOptions extends TemplateOptions {
  readonly json?: boolean;
}

/** Makes a template of the configured or the given size, unless there is one; prints its key. Returns the exit code. */
export async function buildTemplate(options: TemplateBuildOptions): Promise<number> {
  const machine = readMachine(options);
  const built = await (await admin(options)).build(machine);
  if (built === undefined) return FAILED;
  process.stdout.write(`${built.key}\n`);
  if (options.verbose !== true) return 0;
  const table = stepTable(built.steps, built.guestSteps);
  process.stdout.write(built.steps.length === 0 ? "it was there already\n" : table);
  return 0;
}

/** Prints the templates, the last used first. Returns the exit code. */
export async function listTemplates(options: TemplateListOptions): Promise<number> {
  const store = await admin(options);
  const templates = await store.list();
  const json = () => `${JSON.stringify(templates, undefined, 2)}\n`;
  const table = () => templateTable(templates, new Date()) || `no templates in ${store.directory}\n`;
  process.stdout.write(options.json === true ? json() : table());
  return 0;
}

/** Removes templates, named by their keys or the beginnings of these. Returns the exit code. */
export async function removeTemplates(keys: readonly string[], options: TemplateOptions): Promise<number> {
  const templates = await admin(options);
  return printed("removed", (done) => templates.remove(keys, done));
}

/** Reads the named templates, or all, and says which are whole. Returns the exit code. */
export async function verifyTemplates(keys: readonly string[], options: TemplateOptions): Promise<number> {
  const templates = await admin(options);
  return printed("whole", (done) => templates.verify(keys, done));
}

function admin({ config, verbose }: TemplateOptions): Promise<TemplateAdmin> {
  const logger: Logger = verbose === true ? verboseLog() : new LineLog();
  return TemplateAdmin.open(config, logger);
}

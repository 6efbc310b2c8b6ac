/**
 * The commands on what a daemon keeps on disk: `template` and `image`.
 */
import type { Command } from "commander";
import type { ImageListOptions, ImageOptions } from "../cli/image.ts";
import type { TemplateBuildOptions, TemplateListOptions, TemplateOptions } from "../cli/template.ts";

/** A command on what a daemon keeps. */
function keptCommand(group: Command, name: string, description: string): Command {
  return group
    .command(name)
    .description(description)
    .option("--config <file>", "the daemon's configuration, see docs/configuration.md")
    .option("--verbose", "show the steps, and log what is being done to standard error");
}

export function addImageCommands(image: Command): void {
  keptCommand(image, "ls", "list images, the last used first")
    .option("--json", "as JSON")
    .action(async (options: ImageListOptions) => {
      process.exitCode = await (await import("../cli/image.ts")).listImages(options);
    });
  keptCommand(
    image,
    "prepare",
    "make the image of an OCI image or of layers, unless it is there; prints its key",
  )
    .argument(
      "<image or layer...>",
      "full name of an OCI image in containerd; or directories, the topmost first",
    )
    .action(async (words: string[], options: ImageOptions) => {
      process.exitCode = await (await import("../cli/image.ts")).prepareImage(words, options);
    });
  keptCommand(image, "rm", "remove images that no container uses")
    .argument("<key...>", "keys, or what they begin with")
    .action(async (keys: string[], options: ImageOptions) => {
      process.exitCode = await (await import("../cli/image.ts")).removeImages(keys, options);
    });
  keptCommand(image, "verify", "read images and say whether they are whole; all of them if none is named")
    .argument("[key...]", "keys, or what they begin with")
    .action(async (keys: string[], options: ImageOptions) => {
      process.exitCode = await (await import("../cli/image.ts")).verifyImages(keys, options);
    });
}

export function addTemplateCommands(template: Command): void {
  const command = (name: string, description: string): Command => keptCommand(template, name, description);
  command("build", "build the template of a size of VM, unless it is there; prints its key")
    .option("--memory <size>", "guest memory, such as 256M; default: as configured")
    .option("--cpus <count>", "virtual processors; default: as configured")
    .action(async (options: TemplateBuildOptions) => {
      process.exitCode = await (await import("../cli/template.ts")).buildTemplate(options);
    });
  command("ls", "list templates, the last used first")
    .option("--json", "as JSON")
    .action(async (options: TemplateListOptions) => {
      process.exitCode = await (await import("../cli/template.ts")).listTemplates(options);
    });
  command("rm", "remove templates that no VM uses")
    .argument("<key...>", "keys, or what they begin with")
    .action(async (keys: string[], options: TemplateOptions) => {
      process.exitCode = await (await import("../cli/template.ts")).removeTemplates(keys, options);
    });
  command("verify", "read templates and say whether they are whole; all of them if none is named")
    .argument("[key...]", "keys, or what they begin with")
    .action(async (keys: string[], options: TemplateOptions) => {
      process.exitCode = await (await import("../cli/template.ts")).verifyTemplates(keys, options);
    });
}

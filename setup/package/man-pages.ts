/**
 * blazar(8) and blazar.toml(5), from the command line and the configuration's schema, in man(7)'s macros.
 */
import type { Command } from "commander";
import { COMPLETE } from "../../src/command-line/completion.ts";
import { program } from "../../src/command-line/program.ts";
import { CONFIG_SCHEMA } from "../../src/daemon/config/schema.ts";
import type { ConfigKey } from "../../src/daemon/config/values.ts";
import type { Release } from "./release.ts";

const MILLISECONDS = 1000;

export function commandPage(release: Release): string {
  const commands = leaves(program(release.version)).filter(({ words }) => !words.includes(COMPLETE));
  return [
    head("blazar", 8, release),
    ...[".SH NAME", "blazar \\- runs Kubernetes pods in microVMs, as a remote sandboxer of containerd"],
    ...[".SH SYNOPSIS", ".B blazar", ".I command", "[\\fIoptions\\fR]"],
    ...[".SH COMMANDS", ...commands.flatMap(commandLines)],
    ...[
      ".SH EXIT STATUS",
      ...definition("0", "All was done."),
      ...definition("1", "Some of it was not."),
      ...definition("64", "The command line is wrong."),
      ...definition("70", "Nothing was done, for a reason that is not the command line."),
      ".PP",
      roff("run and exec end with the code of the command in the VM, with 128 + N if signal N has ended it."),
    ],
    ...[
      ".SH FILES",
      ...definition("/etc/blazar/blazar.toml", "The configuration, blazar.toml(5)."),
      ...definition("/run/blazar", "Sockets, journals, and what belongs to pods."),
      ...definition("/var/lib/blazar", "Images, templates, and what containers write."),
      ...definition("/usr/share/doc/blazar/operations.md", "What to do when a pod is stuck."),
    ],
    ...[".SH SEE ALSO", ".BR blazar.toml (5),", ".BR containerd (8)", ""],
  ].join("\n");
}

export function configurationPage(release: Release): string {
  const sections = Object.entries(CONFIG_SCHEMA).flatMap(([name, keys]) => [
    `.SS [${roff(name)}]`,
    ...Object.entries(keys).flatMap(([key, about]) => keyLines(key, about)),
  ]);
  return [
    head("blazar.toml", 5, release),
    ...[".SH NAME", "blazar.toml \\- the configuration of blazar serve"],
    ...[
      ".SH DESCRIPTION",
      roff(
        'The file is TOML. Every key has a default. A key or a table that is not on this page is refused. Sizes are written as "256M" or as a number of bytes.',
      ),
    ],
    ...[".SH KEYS", ...sections],
    ...[".SH SEE ALSO", ".BR blazar (8)", ""],
  ].join("\n");
}

function head(name: string, section: number, { version, epoch }: Release): string {
  const [day] = new Date(epoch * MILLISECONDS).toISOString().split("T");
  return `.TH ${name.toUpperCase()} ${section} "${day}" "Blazar ${version}" "Blazar"`;
}

interface Leaf {
  readonly words: readonly string[];
  readonly command: Command;
}

/** Commands that do something, with the names of their groups. */
function leaves(command: Command, words: readonly string[] = []): Leaf[] {
  return command.commands.flatMap((each) => {
    const named = [...words, each.name()];
    return each.commands.length > 0 ? leaves(each, named) : [{ words: named, command: each }];
  });
}

function commandLines({ words, command }: Leaf): string[] {
  const options = command.options.map((option) => definition(option.flags, option.description));
  return [
    `.SS ${roff(`blazar ${words.join(" ")} ${command.usage()}`)}`,
    roff(command.description()),
    ...options.flat(),
  ];
}

function keyLines(key: string, { type, fallback, doc }: ConfigKey): string[] {
  const value = fallback === undefined ? "" : ` Default: ${JSON.stringify(fallback)}.`;
  return definition(`${key} (${type.replaceAll("`", "")})`, `${plain(doc)}${value}`);
}

function definition(term: string, text: string): string[] {
  return [".TP", `.B ${roff(term)}`, roff(text)];
}

/** Without Markdown's marks. */
function plain(text: string): string {
  return text.replace(/\[([^\]]*)\]\([^)]*\)/g, "$1").replaceAll("`", "");
}

/** Text as it is: no line is a request, and no character an escape. */
export function roff(text: string): string {
  return text
    .replaceAll("\\", "\\e")
    .replaceAll("-", "\\-")
    .replace(/^([.'])/gm, "\\&$1");
}

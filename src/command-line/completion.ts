/**
 * Completion for bash(1) and zsh(1): scripts that ask this program what may follow, and what it answers.
 *
 * Names of commands, options and their choices come from the commands themselves, names of pods from the daemon, as far as it answers
 * at once. Only names that a shell takes as they are: a pod may be called anything.
 */
import type { Command, Option } from "commander";

export const SHELLS = ["bash", "zsh"] as const;
type Shell = (typeof SHELLS)[number];

/** The hidden command that the scripts call. */
export const COMPLETE = "__complete";

/** Arguments of this name are pods. */
const POD_ARGUMENT = /\bpod\b/;
const PLAIN = /^[A-Za-z0-9][A-Za-z0-9._/-]*$/;

const SCRIPTS: Readonly<Record<Shell, string>> = {
  bash: `# bash completion of blazar: source it, or put it into /etc/bash_completion.d
_blazar() {
  mapfile -t COMPREPLY < <(blazar ${COMPLETE} -- "\${COMP_WORDS[@]:1:COMP_CWORD}" 2>/dev/null)
}
complete -o default -F _blazar blazar
`,
  zsh: `#compdef blazar
# zsh completion of blazar: put it as _blazar into a directory of $fpath, or source it after compinit
_blazar() {
  local -a found
  found=("\${(@f)$(blazar ${COMPLETE} -- "\${(@)words[2,CURRENT]}" 2>/dev/null)}")
  if [[ -n "\${found[1]}" ]]; then compadd -- $found; else _files; fi
}
# a file of $fpath is loaded by the first completion, which it answers at once
if [[ "\${funcstack[1]}" == _blazar ]]; then _blazar "$@"; else compdef _blazar blazar; fi
`,
};

export function completionScript(shell: Shell): string {
  return SCRIPTS[shell];
}

/**
 * What the last word may become; none = whatever the shell offers.
 * @param pods names of pods, asked for only where one may follow
 */
export async function candidates(
  root: Command,
  words: readonly string[],
  pods: () => Promise<readonly string[]>,
): Promise<string[]> {
  const last = words.at(-1) ?? "";
  const { command, before, rest } = walk(root, words.slice(0, -1));
  const fitting = (all: readonly string[]) =>
    [...new Set(all)].filter((each) => each.startsWith(last)).sort();
  const open = optionOf(command, before);
  if (open !== undefined && takesValue(open)) return fitting(open.argChoices ?? []);
  if (last.startsWith("-")) return fitting(optionsOf(command));
  const subcommands = command.commands.filter((each) => each.name() !== COMPLETE).map((each) => each.name());
  if (subcommands.length > 0) return fitting(subcommands);
  const argument = command.registeredArguments[rest.length];
  if (argument === undefined) return [];
  const named = POD_ARGUMENT.test(argument.name()) ? await pods() : [];
  return fitting([...(argument.argChoices ?? []), ...named.filter((each) => PLAIN.test(each))]);
}

interface Walked {
  readonly command: Command;
  /** The word before the one that is completed. */
  readonly before: string;
  /** Arguments that the command has already. */
  readonly rest: readonly string[];
}

/** Follows the words down to the command that they name. */
function walk(root: Command, words: readonly string[]): Walked {
  let command = root;
  const rest: string[] = [];
  for (const [index, word] of words.entries()) {
    const previous = optionOf(command, words[index - 1] ?? "");
    if (word.startsWith("-") || (previous !== undefined && takesValue(previous))) continue;
    const inner = command.commands.find((each) => each.name() === word);
    if (inner === undefined) rest.push(word);
    else command = inner;
  }
  return { command, before: words.at(-1) ?? "", rest };
}

function optionOf(command: Command, word: string): Option | undefined {
  return command.options.find(({ short, long }) => word !== "" && (short === word || long === word));
}

function takesValue({ required, optional }: Option): boolean {
  return required || optional;
}

function optionsOf(command: Command): string[] {
  return [...command.options.flatMap(({ long }) => long ?? []), "--help"];
}

import { execFile } from "node:child_process";
import { promisify } from "node:util";
import { Argument, Command, Option } from "commander";
import { describe, expect, it } from "vitest";
import { candidates, completionScript } from "../../../src/command-line/completion.ts";

const run = promisify(execFile);

function program(): Command {
  const cli = new Command("blazar");
  cli
    .command("ps")
    .option("-w, --watch", "")
    .addOption(new Option("-o, --output <format>").choices(["json", "yaml"]));
  cli.command("why").argument("<pod>").option("--address <socket>", "");
  cli.command("completion").addArgument(new Argument("<shell>").choices(["bash", "zsh"]));
  cli.command("replay").argument("<file>");
  cli.command("template").command("ls");
  cli.command("__complete", { hidden: true });
  return cli;
}

const PODS = ["web", "shop/web", "evil$(reboot)", "spaced name", "-rf"];

function complete(...words: string[]): Promise<string[]> {
  return candidates(program(), words, () => Promise.resolve(PODS));
}

describe("completion", () => {
  it.each([
    ["commands", [""], ["completion", "ps", "replay", "template", "why"]],
    ["the beginning of a command", ["p"], ["ps"]],
    ["commands of a group", ["template", ""], ["ls"]],
    ["options", ["ps", "--"], ["--help", "--output", "--watch"]],
    ["choices of an option", ["ps", "-o", ""], ["json", "yaml"]],
    ["choices of an argument", ["completion", "z"], ["zsh"]],
    ["nothing after a value that may be anything", ["why", "--address", ""], []],
    ["nothing where all arguments are there", ["why", "web", ""], []],
    ["nothing for a file, so that the shell offers its own", ["replay", ""], []],
    ["pods after an option with a value", ["why", "--address", "/x", "w"], ["web"]],
  ])("offers %s", async (_, words, expected) => {
    expect(await complete(...words)).toEqual(expected);
  });

  it("offers names of pods that a shell takes as they are, and no others", async () => {
    expect(await complete("why", "")).toEqual(["shop/web", "web"]);
  });

  it("works in bash", async () => {
    const script = `blazar() { printf '%s\\n' "$@"; }
${completionScript("bash")}
COMP_WORDS=(blazar why "we"); COMP_CWORD=2; _blazar; printf '<%s>' "\${COMPREPLY[@]}"; complete -p blazar`;
    const { stdout } = await run("bash", ["--norc", "-c", script]);
    expect(stdout).toContain("<__complete><--><why><we>");
    expect(stdout).toContain("complete -o default -F _blazar blazar");
  });

  // a file of $fpath that has more than a function in it is only run when it is loaded
  it("answers the first question of a zsh that has it in its fpath", () => {
    const last = completionScript("zsh").trimEnd().split("\n").at(-1);
    expect(last).toBe(
      // biome-ignore lint/suspicious/noTemplateCurlyInString: the shell's variable
      'if [[ "${funcstack[1]}" == _blazar ]]; then _blazar "$@"; else compdef _blazar blazar; fi',
    );
  });
});

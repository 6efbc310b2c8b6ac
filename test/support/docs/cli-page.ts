/**
 * docs/cli.md: every command with its options, from the command line itself, and what it prints, from the snapshots that tests hold.
 */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import type { Command } from "commander";
import { repoRoot } from "../../../setup/lib/paths.ts";
import { program } from "../../../src/command-line/program.ts";

/** Below test/unit/console/. */
const SNAPSHOTS = "snapshots";
/** Lines of an example. */
const MOST_LINES = 26;

interface Example {
  readonly line: string;
  readonly snapshot: string;
}

/** The order of the page, what people should know of a command beside its options, and what it prints. */
const COMMANDS: Readonly<Record<string, { readonly text: string; readonly examples?: readonly Example[] }>> =
  {
    ps: {
      text: "What is stuck or has failed comes first, then what is on its way, then what runs. FOR is how long it is in its state, VM where its VM came from, START how long its start took. `-w` writes a row for each change, also over a restart of the daemon.",
      examples: [{ line: "blazar ps", snapshot: "ps" }],
    },
    why: {
      text: "One paragraph: the state, since when, what it waits for, which deadline ends that, what came before, what the host was short of, and what can be done.",
    },
    inspect: {
      text: "The JSON has the field names and units of `src/contracts/inspection.ts`. `blazar replay` reads it.",
      examples: [{ line: "blazar inspect adopting", snapshot: "inspect-adopting" }],
    },
    timeline: {
      text: "A life has bursts: a start, and hours later a stop. Each has a scale of its own. An entry is indented by what was under way when it began; BY is the id of the entry that has caused it.",
      examples: [{ line: "blazar timeline cold", snapshot: "timeline-cold" }],
    },
    events: {
      text: "What takes time is told when it ends. `-o json` writes an object a line.",
      examples: [{ line: "blazar events db --last 12", snapshot: "events-db" }],
    },
    logs: {
      text: "A guest may write anything: what a terminal would obey is shown as text. `--raw` passes the bytes on. `-f` goes on through a restart of the daemon; what is written while it is away is not shown.",
    },
    exec: {
      text: "A guest has no shell of its own but a busybox. The command runs as root beside all containers, sees their processes, and ends with this one. `blazar exec -it POD` is a shell. With `-t`, what the guest sends reaches the terminal as it is; Ctrl-C three times within three seconds leaves a guest that does not answer.",
    },
    top: {
      text: "CPU and MEMORY are the containers', by the guest's count. VMM CPU and VMM MEMORY are the VMM's, which has all of the guest in it; VM COST is the difference. Keys: `c`, `m`, `v`, `n`, `s` sort, `q` ends it. While the daemon restarts, the last figures stay, and the last line says so.",
      examples: [{ line: "blazar top --once", snapshot: "top" }],
    },
    graph: {
      text: "Mermaid is drawn by GitHub, by many editors and by mermaid.live. Without a name it is the chart of sandboxes.",
      examples: [{ line: "blazar graph container", snapshot: "graph-container" }],
    },
    doctor: {
      text: "A fault keeps pods from running, or is something left that should be gone. A note is something that could be better. The exit code is 0 only if there is no fault.",
      examples: [{ line: "blazar doctor", snapshot: "doctor" }],
    },
    install: {
      text: "Writes `conf.d/blazar.toml` beside containerd's configuration, which it leaves alone, and prints the commands that are left to do: an `imports` line if there is none yet, and a restart of containerd. The package does it at its installation. `--check` makes doctor's checks of what a node needs before Blazar runs on it; its exit code is 0 only if nothing is missing.",
    },
    bundle: {
      text: "A tar: `manifest.json`, `detail.json`, `why.txt`, `timeline.txt`, `charts.json`, `node.json`, `usage.json`, `config.json`, `doctor.json` and `logs/`. Specs, environments and what containers print are not in it. `blazar replay` and the page of `blazar ui` read it. The file is its owner's only, and is there whole or not at all.",
    },
    replay: {
      text: "On a terminal, arrow keys step forwards and back, up and down go to the next transition or call, the space bar plays, `q` ends it. Without a terminal each step is a line.",
      examples: [{ line: "blazar replay --plain bundle.tar", snapshot: "replay-lines-adopting" }],
    },
    drain: {
      text: "All pods are ended at the same time, as by `crictl stopp`; `kubectl drain` before it lets them end in their own time. Each is told in a line. Stopped pods stay known until kubelet removes them, and so do the exit codes of their containers. New pods are refused with UNAVAILABLE, also when the command is called off or its time is over: what has begun goes on. `blazar undrain` ends that, and so does a restart of blazard. A restart by itself ends no pod and needs no drain. Exit code 1: some pods have not ended in time, or something of them is left.",
    },
    undrain: {
      text: "After `blazar drain`. Harmless if it does so already.",
    },
    completion: {
      text: "`source <(blazar completion bash)`, or for zsh `blazar completion zsh > ~/.zfunc/_blazar`. Names of pods come from the daemon that BLAZAR_ADDRESS names, or the default one.",
    },
  };

export function cliPage(): string {
  const cli = program("");
  const named = new Map(cli.commands.map((command) => [command.name(), command]));
  const parts = Object.entries(COMMANDS).map(([name, { text, examples = [] }]) => {
    const command = named.get(name);
    if (command === undefined) throw new Error(`there is no command ${name}`);
    return [
      `## ${name}`,
      `${sentence(command.description())} ${text}`,
      usage(command),
      ...examples.map(shown),
    ].join("\n\n");
  });
  return `${[HEAD, ...parts].join("\n\n")}\n`;
}

const HEAD = `# Commands

Generated from the command line and from the snapshots of its tests (\`npm run generate\`).

The commands on this page ask a running daemon over its inspection socket (\`inspection.socket\` in
[configuration.md](configuration.md)). \`--address\` names the socket, \`--config\` the daemon's configuration, and
\`BLAZAR_ADDRESS\` is the default of both. \`blazar --help\` lists all commands.

A sandbox is named by its id, by the beginning of one, by its pod's name, or by \`namespace/name\`. A name that may mean
several is refused, with a list of them. Of one pod's sandboxes the running one is meant, else the newest. Sandboxes that
have ended are kept for a while, and can be asked about like the others.

Output is plain where nobody looks at it, with \`NO_COLOR\`, or with \`TERM=dumb\`. A guest's words are harmless in all of it:
control characters, characters without a width and turns of the direction are shown as \`\\x1b\` or \`\\u202e\`.

| exit code | |
|--:|---|
| 0 | All was done; of \`doctor\`: there is no fault. |
| 1 | Some of it was not; of \`doctor\`: there is a fault; of \`drain\`: a pod has not ended in time, or not wholly. |
| 64 | The command line is wrong. |
| 70 | Nothing was done; standard error says why. |
| any | Of \`exec\`: the command's own, 128 + N if signal N has ended it. |`;

function usage(command: Command): string {
  const rows = command.options
    .filter(({ long }) => long !== "--address" && long !== "--config")
    .map(({ flags, description, argChoices }) => {
      const choices = argChoices === undefined ? "" : `: ${argChoices.join(", ")}`;
      return `| \`${flags}\` | ${description}${choices} |`;
    });
  const line = `\`blazar ${command.name()} ${command.usage()}\``;
  return rows.length === 0 ? line : `${line}\n\n| option | |\n|---|---|\n${rows.join("\n")}`;
}

function shown({ line, snapshot }: Example): string {
  const file = join(repoRoot(), "test", "unit", "console", SNAPSHOTS, `${snapshot}.txt`);
  const lines = readFileSync(file, "utf8").trimEnd().split("\n");
  const cut = lines.length > MOST_LINES ? [...lines.slice(0, MOST_LINES - 1), "…"] : lines;
  return ["```", `$ ${line}`, ...cut, "```"].join("\n");
}

function sentence(text: string): string {
  return `${text.slice(0, 1).toUpperCase()}${text.slice(1)}.`;
}

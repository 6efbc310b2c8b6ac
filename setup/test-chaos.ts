/**
 * `npm run test:chaos [-- --minutes N] [--seed S] [--kills daemon,keeper,…] [--json]`: sets up what is missing, then kills.
 */
import { parseArgs } from "node:util";
import { runChaos } from "../lab/chaos/chaos.ts";
import { KILLS, type Kill } from "../lab/chaos/record.ts";
import { chaosLine, chaosText, isClean } from "../lab/chaos/report.ts";
import { blazarError, reasonOf } from "../src/contracts/errors.ts";
import { programFile } from "./lib/dist.ts";
import { command } from "./lib/entry.ts";
import { needRoot } from "./lib/own-namespaces.ts";
import { prepareProduct } from "./lib/product.ts";
import { artifacts } from "./steps/artifacts.ts";

const HELP = `usage: npm run test:chaos -- [--minutes N] [--seed S] [--kills NAMES] [--json]

Runs pods of a private containerd while processes of the node are killed, and holds every call, exit code and byte to what
must come of it. The exit code is 0 only if nothing was lost, doubled, leaked, stuck or wrong.

  --minutes N    how long (3); fractions are fine. Its start and its end take a minute more
  --seed S       of the steps (a new one, printed)
  --kills NAMES  only these, with commas between: ${KILLS.join(", ")}
  --json         one JSON object on stdout; events go to stderr in any case
  --quiet        no events
  --help         this text
`;

const DEFAULT_MINUTES = 3;
const SEEDS = 2 ** 31;

function read(args: readonly string[]) {
  const text = { type: "string" } as const;
  const flag = { type: "boolean" } as const;
  const options = { minutes: text, seed: text, kills: text, json: flag, quiet: flag, help: flag } as const;
  try {
    const { values } = parseArgs({ args: [...args], options });
    return {
      ...{ json: values.json === true, quiet: values.quiet === true, help: values.help === true },
      minutes: numberOf("--minutes", values.minutes, DEFAULT_MINUTES),
      seed: numberOf("--seed", values.seed, Math.floor(Math.random() * SEEDS)),
      kills: killsOf(values.kills),
    };
  } catch (error) {
    const remedy = "see: npm run test:chaos -- --help";
    throw blazarError("InvalidArgument", "read the arguments of test:chaos", reasonOf(error), { remedy });
  }
}

function numberOf(name: string, given: string | undefined, fallback: number): number {
  if (given === undefined) return fallback;
  if (/^\d+(\.\d+)?$/.test(given)) return Number(given);
  throw new Error(`${name} ${given} is no number`);
}

function killsOf(given: string | undefined): ReadonlySet<Kill> {
  const names = given === undefined ? KILLS : given.split(",").filter((name) => name !== "");
  const kills = KILLS.filter((kill) => names.includes(kill));
  if (kills.length === names.length) return new Set(kills);
  throw new Error(`--kills takes ${KILLS.join(", ")}`);
}

await command(async () => {
  const { help, json, quiet, ...options } = read(process.argv.slice(2));
  if (help) process.stdout.write(HELP);
  if (help) return 0;
  needRoot("kill processes of a node");
  await prepareProduct();
  process.stderr.write(`seed ${options.seed}\n`);
  const onEvent = (line: string) => void (quiet || process.stderr.write(`${line}\n`));
  const outcome = await runChaos({ ...options, built: artifacts(), program: programFile(), onEvent });
  process.stderr.write(chaosText(outcome));
  if (json) process.stdout.write(`${chaosLine(outcome)}\n`);
  return isClean(outcome) ? 0 : 1;
});

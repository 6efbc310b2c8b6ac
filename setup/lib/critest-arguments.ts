/**
 * The arguments of `npm run test:critest`.
 */
import { parseArgs } from "node:util";
import { blazarError, reasonOf } from "../../src/contracts/errors.ts";

const HANDLERS = ["runc", "blazar"] as const;

export interface CritestArguments {
  readonly help: boolean;
  /** In the order in which they are tested. */
  readonly handlers: readonly (typeof HANDLERS)[number][];
  /** Only cases with this text in their name. */
  readonly only: string;
}

export const CRITEST_HELP = `usage: npm run test:critest -- [--handler runc|blazar] [TEXT]

Runs critest, the validation suite of cri-tools, against a private containerd: under runc, then under blazar.
Prints a table of its cases, and both counts. Fails if blazar fails a case that runc passes, unless the case is
explained in docs/specification.md.

  --handler NAME  only under runc, or only under blazar
  TEXT            only cases with this text in their name
  --help          this text

Needs root, musl-gcc and Debian's containernetworking-plugins; for the first run also Go (or a Debian mirror) and a
Go module proxy. Reports and output of the runs stay in dist/critest/.
`;

/** @throws BlazarError `InvalidArgument` */
export function readCritestArguments(args: readonly string[]): CritestArguments {
  const { values, positionals } = parsed(args);
  const { help = false, handler } = values;
  const handlers = HANDLERS.filter((each) => handler === undefined || handler === each);
  if (handlers.length === 0) throw wrong(`--handler ${handler}`, `it must be one of ${HANDLERS.join(", ")}`);
  return { help, handlers, only: positionals.join(" ") };
}

function parsed(args: readonly string[]) {
  const options = { help: { type: "boolean", short: "h" }, handler: { type: "string" } } as const;
  try {
    return parseArgs({ args: [...args], options, allowPositionals: true });
  } catch (error) {
    throw wrong(args.join(" "), reasonOf(error));
  }
}

function wrong(subject: string, reason: string) {
  const remedy = "see: npm run test:critest -- --help";
  return blazarError("InvalidArgument", "read the arguments of test:critest", reason, { subject, remedy });
}

/**
 * The arguments of the commands that compare runtime handlers: `npm run test:critest` and `npm run test:workloads`.
 */
import { parseArgs } from "node:util";
import { blazarError, reasonOf } from "../../src/contracts/errors.ts";

const HANDLERS = ["runc", "blazar"] as const;

export interface HandlerArguments {
  readonly help: boolean;
  /** In the order in which they are tested. */
  readonly handlers: readonly (typeof HANDLERS)[number][];
  /** Only cases with this text in their name. */
  readonly only: string;
}

/** @param command for messages: `test:critest`. @throws BlazarError `InvalidArgument` */
export function readHandlerArguments(command: string, args: readonly string[]): HandlerArguments {
  const { values, positionals } = parsed(command, args);
  const { help = false, handler } = values;
  const handlers = HANDLERS.filter((each) => handler === undefined || handler === each);
  if (handlers.length === 0)
    throw wrong(command, `--handler ${handler}`, `it must be one of ${HANDLERS.join(", ")}`);
  return { help, handlers, only: positionals.join(" ") };
}

function parsed(command: string, args: readonly string[]) {
  const options = { help: { type: "boolean", short: "h" }, handler: { type: "string" } } as const;
  try {
    return parseArgs({ args: [...args], options, allowPositionals: true });
  } catch (error) {
    throw wrong(command, args.join(" "), reasonOf(error));
  }
}

function wrong(command: string, subject: string, reason: string) {
  const remedy = `see: npm run ${command} -- --help`;
  return blazarError("InvalidArgument", `read the arguments of ${command}`, reason, { subject, remedy });
}

/** The code of the error that something throws, another error's text, or "nothing". */
import { BlazarError } from "../../src/contracts/errors.ts";

export function codeOf(task: () => unknown): string {
  try {
    task();
  } catch (error) {
    return error instanceof BlazarError ? error.code : String(error);
  }
  return "nothing";
}

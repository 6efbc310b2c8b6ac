/** The attacks' own programs (programs/). */
import { join } from "node:path";
import { repoRoot } from "../../setup/lib/paths.ts";
import { compile } from "../host/compile.ts";

export interface Programs {
  /** Tries what must not work, from within a jail. */
  readonly invade: string;
  /** A hostile agent. */
  readonly impostor: string;
}

export async function buildPrograms(): Promise<Programs> {
  const source = (name: string): string => join(repoRoot(), "lab", "security", "programs", `${name}.c`);
  const [invade, impostor] = await Promise.all([
    compile("invade", [source("invade")]),
    compile("impostor", [source("impostor")]),
  ]);
  return { invade, impostor };
}

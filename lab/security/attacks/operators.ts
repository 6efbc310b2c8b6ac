/** What a careless operator can do: configurations that make no sense, and a full disk. */
import { chmod, mkdir, readdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { mountMemory } from "../../host/mounts.ts";
import { runProgram, runToEnd } from "../../host/program.ts";
import type { Attack, Ground } from "../attack.ts";

const REFUSED = 70;
/** A daemon that starts has not refused. */
const SERVE_SECONDS = "15";

const NONSENSE: Readonly<Record<string, string>> = {
  "a state directory by way of /proc": '[daemon]\nstate_directory = "/proc/self/cwd/x"',
  "a NUL in a path": '[daemon]\nstate_directory = "/tmp/a\\u0000b"',
  "no memory": "[vmm]\nmemory = 0",
  "more memory than there is": '[vmm]\nmemory = "900T"',
  "a size that is none": '[vmm]\nmemory = "9999999T"',
  "a least that is more than the most": "[pool]\nmin = 5\nmax = 2",
  "a section by the name of __proto__": "[__proto__]\nx = 1",
  "a key by the name of constructor": '[vmm]\nconstructor = "x"',
  "users of the system": "[vmm]\nfirst_uid = 0",
};

async function serve({ program, scratch }: Ground, text: string): Promise<string | undefined> {
  const file = join(scratch, "nonsense.toml");
  await writeFile(file, text);
  const words = ["timeout", SERVE_SECONDS, process.execPath, program, "serve", "--config", file];
  const { code, stderr } = await runToEnd(words);
  if (code !== REFUSED) return `it ends with ${code}`;
  return /\n.*\n/.test(stderr.trim()) ? "it says more than one thing" : undefined;
}

export const OPERATORS: readonly Attack[] = [
  ...Object.entries(NONSENSE).map(
    ([name, text]): Attack => ({
      name: `a configuration is refused: ${name}`,
      by: "an operator",
      tryIt: (ground) => serve(ground, text),
    }),
  ),
  {
    name: "a state directory that others may write to is refused",
    by: "an operator",
    async tryIt(ground) {
      const directory = join(ground.scratch, "open");
      await mkdir(directory, { recursive: true });
      await chmod(directory, 0o777);
      return serve(ground, `[daemon]\nstate_directory = "${directory}"\n[keeper]\nstart = true`);
    },
  },
  {
    name: "`blazar run` with a full TMPDIR ends, and says why",
    by: "an operator",
    async tryIt({ scratch, program }) {
      const full = join(scratch, "full");
      await mountMemory(full, 64 * 1024);
      try {
        await runToEnd(["dd", "if=/dev/zero", `of=${join(full, "all")}`, "bs=4k"]);
        const words = ["timeout", "90", process.execPath, program, "run", "--", "true"];
        const { code, stderr } = await runToEnd(words, { env: { TMPDIR: full } });
        if (code === null || code === 124) return "it does not end";
        if (code === 0) return undefined;
        if (!/space|ENOSPC/i.test(stderr)) return `it says ${JSON.stringify(stderr.slice(-100))}`;
        const left = (await readdir(full)).filter((name) => name !== "all");
        return left.length === 0 ? undefined : `it leaves ${left.join(", ")}`;
      } finally {
        await runProgram("umount", [full]);
      }
    },
  },
];

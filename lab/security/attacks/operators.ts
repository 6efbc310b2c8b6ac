/** What a careless operator can do: configurations that make no sense, and a full disk. */
import { chmod, mkdir, readdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { mountMemory } from "../../host/mounts.ts";
import { runProgram, runToEnd } from "../../host/program.ts";
import type { Attack, Ground } from "../attack.ts";

const REFUSED = 70;
/** A daemon that starts has not refused. */
const SERVE_SECONDS = "8";

/** A part of a configuration, and what the refusal has to name. */
const NONSENSE: Readonly<Record<string, readonly [text: string, named: RegExp]>> = {
  "the root as state directory": ['[daemon]\nstate_directory = "/"', /daemon\.state_directory/],
  "a state directory of the system": ['[daemon]\nstate_directory = "/usr/lib/x"', /daemon\.state_directory/],
  "a state directory by way of /proc": [
    '[daemon]\nstate_directory = "/proc/self/cwd/x"',
    /daemon\.state_directory/,
  ],
  "a NUL in a path": ['[daemon]\nstate_directory = "/tmp/a\\u0000b"', /daemon\.state_directory/],
  "no memory": ["[vmm]\nmemory = 0", /vmm\.memory/],
  "more memory than there is": ['[vmm]\nmemory = "900T"', /vmm\.memory/],
  "a size that is none": ['[vmm]\nmemory = "9999999T"', /vmm\.memory/],
  "a least that is more than the most": ["[pool]\nmin = 5\nmax = 2", /pool\.min/],
  "a section by the name of __proto__": ["[__proto__]\nx = 1", /__proto__/],
  "a key by the name of constructor": ['[vmm]\nconstructor = "x"', /constructor/],
  "users of the system": ["[vmm]\nfirst_uid = 0", /vmm\.first_uid/],
};

/** A daemon that serves, if it is not refused, in a directory of its own. @returns its exit code and what it says */
async function serve(
  { program, scratch }: Ground,
  text: string,
): Promise<{ code: number | null; stderr: string }> {
  const file = join(scratch, "nonsense.toml");
  const own = text.includes("state_directory")
    ? ""
    : `\n[daemon]\nstate_directory = "${join(scratch, "state")}"\n`;
  await writeFile(file, `${text}\n${own}\n[keeper]\nstart = false\n`);
  const words = ["timeout", SERVE_SECONDS, process.execPath, program, "serve", "--config", file];
  return runToEnd(words);
}

async function refused(ground: Ground, text: string, reason: RegExp): Promise<string | undefined> {
  const { code, stderr } = await serve(ground, text);
  if (code !== REFUSED) return `it ends with ${code}: ${stderr.slice(-200)}`;
  if (!reason.test(stderr)) return `it says ${JSON.stringify(stderr.slice(-300))}`;
  return stderr.trim().includes("\n") ? "it says more than one thing" : undefined;
}

export const OPERATORS: readonly Attack[] = [
  {
    name: "configurations without sense are refused, each with the key that is wrong",
    by: "an operator",
    withoutPod: true,
    async tryIt(ground) {
      const sensible = await serve(ground, "[vmm]\nvcpus = 1");
      if (sensible.code === REFUSED) throw new Error(`sense is refused, too: ${sensible.stderr}`);
      for (const [name, [text, named]] of Object.entries(NONSENSE)) {
        const got = await refused(ground, text, named);
        if (got !== undefined) return `${name}: ${got}`;
      }
      return undefined;
    },
  },
  {
    name: "a state directory that others may write to is refused",
    by: "an operator",
    withoutPod: true,
    async tryIt(ground) {
      const directory = join(ground.scratch, "open");
      await mkdir(directory, { recursive: true });
      await chmod(directory, 0o777);
      return refused(ground, `[daemon]\nstate_directory = "${directory}"`, /others may write to it/);
    },
  },
  {
    name: "`blazar run` with a full TMPDIR ends, and says why",
    by: "an operator",
    withoutPod: true,
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

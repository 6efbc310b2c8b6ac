/** What the scripts of the packages remove, and what they leave. */
import { execFileSync } from "node:child_process";
import { existsSync, readFileSync } from "node:fs";
import { mkdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { repoRoot } from "../../../setup/lib/paths.ts";
import { temporaryDirectory } from "../../support/temporary-directory.ts";

const SCRIPTS = ["uninstall.sh", "debian/postrm"];
const isRoot = process.getuid?.() === 0;

function script(name: string): string {
  return readFileSync(join(repoRoot(), "packaging", name), "utf8");
}

function removeTree(name: string): string {
  return /^remove_tree\(\) \{\n.*?^\}\n/ms.exec(script(name))?.[0] ?? "";
}

describe.each(SCRIPTS)("%s", (name) => {
  it("removes trees by one function only", () => {
    expect(removeTree(name)).toContain('rm -rf --one-file-system "$1"');
    expect(script(name).match(/rm -r/g)).toHaveLength(1);
  });

  it.skipIf(!isRoot)(
    "leaves files of the host that are mounted as a volume, of the same file system, too",
    async () => {
      const directory = await temporaryDirectory();
      const [state, host] = [join(directory, "blazar"), join(directory, "host")];
      const volume = join(state, "sandboxes", "p1", "volumes", "v1");
      await mkdir(volume, { recursive: true });
      await mkdir(host);
      await writeFile(join(host, "precious"), "mine");
      const commands = `mount --make-rprivate / && mount --bind ${host} ${volume} && remove_tree ${state} 2>&1`;
      const said = execFileSync("unshare", ["-m", "sh", "-ec", `${removeTree(name)}${commands}`]);
      expect(said.toString()).toContain(`${state} stays`);
      expect(readFileSync(join(host, "precious"), "utf8")).toBe("mine");
      // the mount went with its namespace
      execFileSync("sh", ["-ec", `${removeTree(name)}remove_tree ${state}`]);
      expect(existsSync(state)).toBe(false);
      expect(existsSync(join(host, "precious"))).toBe(true);
    },
  );
});

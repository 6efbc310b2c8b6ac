/** Which mirror other releases' packages come from: the machine's own. */
import { mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { acquireSettings } from "../../../setup/lib/apt-root.ts";
import { findMirror } from "../../../setup/lib/debian-mirror.ts";

let apt: string;
beforeEach(async () => {
  apt = await mkdtemp(path.join(tmpdir(), "blazar-apt-"));
  await mkdir(path.join(apt, "sources.list.d"));
});
afterEach(() => rm(apt, { recursive: true }));

const keyring = "/usr/share/keyrings/debian-archive-keyring.gpg";
const hasKeyring = (file: string): boolean => file === keyring;

describe("the mirror", () => {
  test("is read from deb822 sources, past other repositories", async () => {
    await writeFile(
      path.join(apt, "sources.list.d", "a.sources"),
      "Types: deb\nURIs: https://example.test/other\nSuites: nodistro\nComponents: main\n",
    );
    await writeFile(
      path.join(apt, "sources.list.d", "debian.sources"),
      [
        "Types: deb",
        "# a remark inside the stanza",
        "URIs: http://mirror.test/debian/",
        "Suites: bookworm bookworm-updates",
        "Components: main",
        `Signed-By: ${keyring}`,
        "",
        "Types: deb",
        "URIs: http://mirror.test/debian-security",
        "Suites: bookworm-security",
        "Components: main",
        "",
      ].join("\n"),
    );
    expect(await findMirror(apt, hasKeyring)).toEqual({
      uri: "http://mirror.test/debian",
      signedBy: keyring,
    });
  });

  test("is read from sources.list, options and comments notwithstanding", async () => {
    await writeFile(
      path.join(apt, "sources.list"),
      "# deb http://commented.test/debian bookworm main\n" +
        "deb http://mirror.test/debian-security bookworm-security main\n" +
        "deb [arch=amd64 signed-by=/k.gpg] http://mirror.test/debian trixie main contrib\n",
    );
    const exists = (file: string): boolean => file === "/k.gpg";
    expect(await findMirror(apt, exists)).toEqual({ uri: "http://mirror.test/debian", signedBy: "/k.gpg" });
  });

  test("is not one that is switched off or has sources only", async () => {
    await writeFile(
      path.join(apt, "sources.list.d", "debian.sources"),
      "Types: deb\nEnabled: no\nURIs: http://off.test/debian\nSuites: bookworm\nComponents: main\n\n" +
        "Types: deb-src\nURIs: http://src.test/debian\nSuites: bookworm\nComponents: main\n\n" +
        "Types: deb deb-src\nURIs: http://on.test/debian\nSuites: bookworm\nComponents: main\n",
    );
    expect((await findMirror(apt, hasKeyring)).uri).toBe("http://on.test/debian");
  });

  test("falls back to Debian's public one, and to apt's own trust without a keyring", async () => {
    const mirror = await findMirror(apt, () => false);
    expect(mirror.uri).toMatch(/debian\.org\/debian$/);
    expect(mirror.signedBy).toBeUndefined();
  });
});

describe("the private root's transport", () => {
  test("is the machine's, what to fetch is not", () => {
    const dump = [
      'APT::Architecture "amd64";',
      'Acquire::http::Proxy "http://proxy.test:3128";',
      'Acquire::IndexTargets::deb::DEP-11 "";',
      'Acquire::Languages "de";',
      'DPkg::Post-Invoke:: "reboot";',
    ].join("\n");
    expect(acquireSettings(dump)).toEqual(['Acquire::http::Proxy "http://proxy.test:3128";']);
  });
});

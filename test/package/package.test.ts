/**
 * What has come of each step on a Debian of its own (lab/package/scenario.ts), which `npm run test:package` has run.
 */
import { createHash } from "node:crypto";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { installLines } from "../../lab/package/scenario.ts";
import { repoRoot } from "../../setup/lib/paths.ts";
import { productVersion } from "../../setup/lib/version.ts";

const RESULTS = process.env["BLAZAR_PACKAGE_RESULTS"] ?? "dist/package-test";
const NEWER = "0.1.1~test";

function text(...names: string[]): string {
  return readFileSync(join(RESULTS, ...names), "utf8");
}

/** The output of a step that was run to its end; apt gives dpkg a terminal, whose lines end with a return as well. */
function output(step: string): string {
  const said = text("steps", `${step}.out`).replaceAll("\r\n", "\n");
  expect({ step, status: text("steps", `${step}.status`).trim(), said }).toMatchObject({ status: "0" });
  return said;
}

/** What a step has found left of the package. */
function left(step: string): string[] {
  const [, found = "not told"] = output(step).split("left:\n");
  return found.split("\n").filter((line) => line !== "");
}

describe("the package", () => {
  it("is the same bytes when it is built again", () => {
    const sums = ["deb", "tar.gz"].map((kind) => {
      const name = `blazar_${productVersion()}_amd64.${kind}`;
      return [[name], ["second", name]].map((path) =>
        createHash("sha256")
          .update(readFileSync(join(RESULTS, ...path)))
          .digest("hex"),
      );
    });
    for (const [first, second] of sums) expect(second).toBe(first);
  });

  it("has no errors for lintian", () => {
    expect(text("lintian.txt")).not.toMatch(/^E: |lintian is not here/m);
  });
});

describe("docs/install.md", () => {
  const lines = installLines(readFileSync(join(repoRoot(), "docs", "install.md"), "utf8"));

  it("takes ten lines, which all succeed on a bare Debian 13", () => {
    expect(lines).toHaveLength(10);
    const installs = lines.findIndex((line) => line.includes("blazar_")) + 1;
    for (let line = 1; line <= installs; line++) output(`line-${line}`);
    expect(output("lines").match(/^# line-\d+$/gm)).toHaveLength(lines.length - installs);
  });

  it("leaves two lines of containerd's to the operator, the ones that the installation prints", () => {
    const installs = lines.findIndex((line) => line.includes("blazar_")) + 1;
    const printed = output(`line-${installs}`);
    for (const line of lines.slice(installs, installs + 2)) expect(printed).toContain(`  ${line}\n`);
  });

  it("ends with a pod on a kernel of its own, under KVM", () => {
    const said = output("own-kernel");
    expect(said).toContain("another kernel");
    expect(said).toMatch(/default\/hello +ready\.running/);
    expect(said).toMatch(/✓ daemon .* kvm$/m);
  });
});

describe("blazar install --check", () => {
  it("says what is missing before containerd knows of Blazar, and nothing after", () => {
    expect(output("check-before")).toMatch(/names no sandboxer[\s\S]*blazar install[\s\S]*^exit 1$/m);
    const { findings } = JSON.parse(output("check-after")) as { findings: { verdict: string }[] };
    expect(findings.filter(({ verdict }) => verdict === "fault")).toEqual([]);
  });
});

describe("a pod runs on", () => {
  it("when containerd is restarted", () => expect(output("restart-containerd")).toContain("the same kernel"));

  it("when blazar is restarted", () => expect(output("restart-blazar")).toMatch(/the same kernel\n1$/m));

  it("when a newer package is installed, which keeps keeper and configuration", () => {
    const said = output("upgrade");
    for (const words of ["the same keeper", "another daemon", "the same kernel", "kvmProbe", NEWER])
      expect(said).toContain(words);
  });
});

describe("a removal", () => {
  it("ends the pod, and leaves configuration and state, but nothing that runs", () => {
    const said = output("remove");
    expect(said).toMatch(/ended default\/hello/);
    expect(said).toMatch(/^\/etc\/blazar$[\s\S]*^\/var\/lib\/blazar$/m);
    expect(said).toContain("no process");
    expect(said).toMatch(/^inactive\ninactive$/m);
  });

  it("leaves nothing after a purge", () => expect(left("purge")).toEqual([]));
});

describe("the tarball", () => {
  it("installs what runs, and removes all of it", () => {
    expect(output("tarball")).toMatch(/^active\nactive\nactive$/m);
    expect(left("tarball")).toEqual([]);
  });
});

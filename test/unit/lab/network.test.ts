/** The network tests' own parts: what counts as a difference, and the handlers that a kind of network has. */
import { readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { NETWORK_CASES } from "../../../lab/network/cases/all.ts";
import { handlerFor } from "../../../lab/network/lab-network.ts";
import { NetworkReport } from "../../../lab/network/report.ts";
import { blazarHandler, containerdConfig, runcHandler } from "../../../lab/node/containerd-config.ts";

function report(each: { explained?: string; blazar?: RegExp }, runc: string | undefined, blazar: string) {
  const written: string[] = [];
  const out = { write: (more: string | Uint8Array) => written.push(String(more)) > 0 };
  const made = new NetworkReport(out, runc === undefined ? ["blazar"] : ["runc", "blazar"]);
  const answers = runc === undefined ? { blazar } : { runc, blazar };
  made.add({ name: "a case", run: () => Promise.resolve(""), ...each }, answers);
  return { code: made.close(), text: written.join("") };
}

describe("the cases of networks", () => {
  it("have names of their own", () => {
    const names = NETWORK_CASES.map(({ name }) => name);
    expect(new Set(names).size).toBe(names.length);
  });

  it("that may differ are in docs/specification.md, each with its reason, and no others", () => {
    const specification = readFileSync("docs/specification.md", "utf8");
    const section =
      /### Where a pod's network differs from runc's\n([\s\S]*?)\n## /.exec(specification)?.[1] ?? "";
    const rows = section.split("\n").filter((line) => line.startsWith("| "));
    const explained = NETWORK_CASES.flatMap(({ name, explained: why }) =>
      why === undefined ? [] : [`| ${name} | ${why} |`],
    );
    expect(rows.slice(1)).toEqual(explained);
  });
});

describe("the report of the network tests", () => {
  it("takes equal answers for the same, but not equal failures", () => {
    expect(report({}, "seen", "seen")).toMatchObject({
      code: 0,
      text: expect.stringMatching(/1 same, 0 different/),
    });
    expect(report({}, "failed: no node", "failed: no node").code).toBe(1);
  });

  it("lets only an explained case differ, and only as the case says", () => {
    expect(report({}, "seen", "not seen").code).toBe(1);
    expect(report({ explained: "why" }, "seen", "not seen").code).toBe(0);
    const strict = { explained: "why", blazar: /^refused$/ };
    expect(report(strict, "seen", "refused").code).toBe(0);
    expect(report(strict, "seen", "not seen").code).toBe(1);
  });

  it("counts a case under one handler apart", () => {
    expect(report({}, undefined, "seen").text).toContain("1 under one handler only");
  });
});

describe("the handlers of a node with networks", () => {
  it("are called by runtime and kind, and have the kind's directory of CNI", () => {
    expect(handlerFor("blazar", "ptp")).toBe("blazar-ptp");
    expect(handlerFor("runc", "host")).toBe("runc");
    const keys = "    cni_conf_dir = '/kinds/ptp'\n";
    expect(blazarHandler("blazar-ptp", "/deploy", keys)).toMatch(
      /sandboxer = 'blazar'\n[\s\S]*cni_conf_dir = '\/kinds\/ptp'\n$/,
    );
    // keys of a table come before the tables in it
    expect(runcHandler("runc-ptp", "/c", keys)).toMatch(
      /cni_conf_dir = '\/kinds\/ptp'\n[^[]*\[.*\.runc-ptp\.options\]/,
    );
  });

  it("find plugins of the lab's before those of the host", () => {
    const text = containerdConfig({
      directory: "/c",
      socket: "/c/s",
      blazarSocket: undefined,
      shimDirectory: "/deploy",
      logLevel: "info",
      extraConfig: undefined,
      cniPlugins: ["/lab/plugins"],
    });
    expect(text).toContain("bin_dirs = ['/lab/plugins', '/usr/lib/cni', '/opt/cni/bin']");
  });
});

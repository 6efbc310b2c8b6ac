/** What `npm run test:critest` is made of: reading critest's report, comparing, the registry. */
import { readFileSync } from "node:fs";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { EXPLAINED, reasonFor } from "../../../lab/critest/explained.ts";
import { LoopbackRegistry } from "../../../lab/critest/registry.ts";
import { printReport, type ResultsByHandler } from "../../../lab/critest/report.ts";
import { type CaseResult, resultsOf } from "../../../lab/critest/results.ts";

describe("critest's report", () => {
  const spec = (name: string, state: string, message?: string) => ({
    ContainerHierarchyTexts: ["[k8s.io] Container", "runtime"],
    LeafNodeType: "It",
    LeafNodeText: `${name} [Conformance]`,
    State: state,
    RunTime: 2e9,
    ...(message === undefined ? {} : { Failure: { Message: message } }),
  });

  it("is read case by case, by names without what is the same in all", () => {
    const report = JSON.stringify([
      { SpecReports: [spec("runs", "passed"), spec("stops", "failed", "why")] },
    ]);
    expect(resultsOf(report)).toEqual(
      new Map([
        ["Container runtime runs", { outcome: "passed", message: "", seconds: 2 }],
        ["Container runtime stops", { outcome: "failed", message: "why", seconds: 2 }],
      ]),
    );
  });

  it("tells a skipped case from one that a filter has left out, and takes every bad end for a failure", () => {
    const specs = [spec("a", "skipped", "no AppArmor"), spec("b", "skipped"), spec("c", "panicked", "nil")];
    const set = { ...spec("suite", "passed"), LeafNodeType: "BeforeSuite" };
    const results = resultsOf(JSON.stringify([{ SpecReports: [...specs, set] }]));
    expect([...results].map(([name, { outcome }]) => `${name} ${outcome}`)).toEqual([
      "Container runtime a skipped",
      "Container runtime c failed",
    ]);
  });
});

describe("the comparison of two runs of critest", () => {
  const result = (outcome: CaseResult["outcome"]): CaseResult => ({
    outcome,
    message: outcome === "passed" ? "" : "it broke",
    seconds: 1,
  });
  const compare = (
    runc: CaseResult["outcome"] | undefined,
    blazar: CaseResult["outcome"],
    name = "case x",
  ) => {
    const others = new Map([["other", result("passed")]]);
    const results: ResultsByHandler = {
      ...(runc && { runc: new Map([...others, [name, result(runc)]]) }),
      blazar: new Map([...others, [name, result(blazar)]]),
    };
    const lines: string[] = [];
    const code = printReport({ write: (text: string | Uint8Array) => lines.push(String(text)) > 0 }, results);
    return { code, text: lines.join("") };
  };

  it("passes where blazar passes what runc passes", () => {
    const { code, text } = compare("passed", "passed");
    expect(code).toBe(0);
    expect(text).toContain("runc    2 of 2 passed, 0 skipped\nblazar  2 of 2 passed, 0 skipped\n");
  });

  it("fails where blazar fails or skips what runc passes, and says why", () => {
    expect(compare("passed", "failed")).toMatchObject({ code: 1 });
    expect(compare("passed", "failed").text).toContain("NOT EXPLAINED: it broke");
    expect(compare("passed", "skipped")).toMatchObject({ code: 1 });
    expect(compare("skipped", "failed")).toMatchObject({ code: 1 });
    expect(compare(undefined, "failed")).toMatchObject({ code: 1 });
  });

  it("passes where runc fails, too, where both skip, and where the case is explained", () => {
    expect(compare("failed", "failed")).toMatchObject({ code: 0 });
    expect(compare("skipped", "skipped")).toMatchObject({ code: 0 });
    const { name = "", why = "" } = EXPLAINED[1] ?? {};
    const { code, text } = compare("passed", "failed", `${name} and more`);
    expect(code).toBe(0);
    expect(text).toContain(why);
  });

  it("fails where nothing has passed: such a run has shown nothing", () => {
    const results = { blazar: new Map([["case x", result("skipped")]]) };
    expect(printReport({ write: () => true }, results)).toBe(1);
  });

  it("explains what docs/specification.md explains, and nothing else", () => {
    const specification = readFileSync("docs/specification.md", "utf8");
    const section = /### What Kubernetes' validation suite says\n([\s\S]*?)\n###? /.exec(specification)?.[1];
    const rows = (section ?? "").split("\n").filter((line) => line.startsWith("| "));
    expect(rows.slice(1)).toEqual(EXPLAINED.map(({ name, why }) => `| ${name} | ${why} |`));
    expect(reasonFor("Container runtime should start")).toBeUndefined();
  });
});

describe("the registry on loopback", () => {
  let registry: LoopbackRegistry;
  beforeAll(async () => {
    const image = (content: string) => ({ layers: [[{ path: "file", content }]] });
    registry = await LoopbackRegistry.start(
      new Map([
        ["busybox", image("any tag")],
        ["test-image:one", image("one tag")],
      ]),
    );
  });
  afterAll(() => registry.stop());
  const get = (path: string, method = "GET") => fetch(`${registry.url}/v2/${path}`, { method });

  it("finds an image by its repository's last part, at any tag or at its own", async () => {
    const busybox = await get("e2e-test-images/busybox/manifests/1.29-2?ns=example.org");
    const one = await get("test-image/manifests/one");
    expect(busybox.headers.get("content-type")).toBe("application/vnd.oci.image.manifest.v1+json");
    expect(one.headers.get("docker-content-digest")).not.toBe(busybox.headers.get("docker-content-digest"));
    const head = await get("busybox/manifests/latest", "HEAD");
    expect(head.headers.get("docker-content-digest")).toBe(busybox.headers.get("docker-content-digest"));
    expect(await head.text()).toBe("");
  });

  it("has every blob that a manifest names, by digest", async () => {
    const manifest = (await (await get("busybox/manifests/1")).json()) as {
      config: { digest: string; size: number };
      layers: { digest: string; size: number }[];
    };
    for (const { digest, size } of [manifest.config, ...manifest.layers])
      expect((await (await get(`busybox/blobs/${digest}`)).arrayBuffer()).byteLength).toBe(size);
  });

  it("answers 404 for what it does not have", async () => {
    expect((await get("test-image/manifests/two")).status).toBe(404);
    expect((await get(`busybox/manifests/sha256:${"0".repeat(64)}`)).status).toBe(404);
    expect((await get("")).status).toBe(200);
  });
});

/**
 * What a container's root promises to programs, under blazar and under runc, side by side.
 *
 * docs/storage.md lists what does not hold; nothing else may fail. To write its table anew:
 * `BLAZAR_WRITE_DOCS=1 npm test -- test/e2e/fs-semantics.test.ts`.
 */
import { readFile, writeFile } from "node:fs/promises";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { busyboxImage } from "../../lab/images/busybox.ts";
import { TestNode } from "../support/e2e/node.ts";
import { built } from "../support/e2e/program.ts";
import {
  buildFsSemantics,
  type CheckResult,
  compareChecks,
  IMAGE_DIRECTORY,
  imageFiles,
  parseChecks,
} from "../support/fs-semantics/run.ts";

const IMAGE = "localhost/blazar/fs-semantics:latest";
const PAGE = "docs/storage.md";
const TABLE = /(<!-- file semantics: begin[^>]*-->\n)([\s\S]*)(<!-- file semantics: end -->)/;
/** What the checks need root's rights for: device files, file capabilities, trusted attributes, limits. By number (capabilities(7)). */
const CAPABILITIES = { SYS_ADMIN: 21, SYS_RESOURCE: 24, MKNOD: 27, SETFCAP: 31 };

let node: TestNode;

beforeAll(async () => {
  node = await TestNode.start();
  await node.importPause();
  await importImage();
});

afterAll(() => node.stop());

async function importImage(): Promise<void> {
  const image = await busyboxImage(IMAGE, built().busybox);
  const program = await readFile(await buildFsSemantics(node.node.directory));
  const layer = [{ path: "bin/fs-semantics", content: program, mode: 0o755 }, ...imageFiles()];
  await node.node.containerd.importImage({ ...image, layers: [...image.layers, layer] });
}

/** Those that runc can give, because this host has them; a microVM has all, but both shall have the same. */
async function capabilities(): Promise<string[]> {
  const [, bounding = "0"] =
    /^CapBnd:\s*([0-9a-f]+)$/m.exec(await readFile("/proc/self/status", "utf8")) ?? [];
  const mask = BigInt(`0x${bounding}`);
  return Object.entries(CAPABILITIES)
    .filter(([, number]) => ((mask >> BigInt(number)) & 1n) === 1n)
    .map(([name]) => name);
}

async function checksUnder(handler: "blazar" | "runc"): Promise<CheckResult[]> {
  const pod = await node.runPod({ handler });
  const container = await node.startContainer(pod, "exec sleep 1000", {
    image: { image: IMAGE },
    linux: { securityContext: { capabilities: { addCapabilities: await capabilities() } } },
  });
  const { code, stdout, stderr } = await node.exec(
    container,
    `mkdir /work && fs-semantics /work ${IMAGE_DIRECTORY}`,
  );
  expect({ code, stderr }).toEqual({ code: 0, stderr: "" });
  await node.removePod(pod);
  return parseChecks(stdout);
}

/** Names in the table's rows whose cell of blazar says no. */
function listed(page: string): string[] {
  const [, , table = ""] = TABLE.exec(page) ?? [];
  const rows = table.split("\n").map((row) => row.split(" | "));
  return rows
    .filter(([, blazar]) => blazar?.startsWith("no"))
    .map(([name = ""]) => name.replaceAll(/[|` ]/g, ""));
}

describe("a container's root", () => {
  it("keeps every promise to programs but those that docs/storage.md lists", async () => {
    const results = { blazar: await checksUnder("blazar"), runc: await checksUnder("runc") };
    expect(results.blazar.map(({ name }) => name)).toEqual(results.runc.map(({ name }) => name));
    expect(results.blazar.length).toBeGreaterThan(100);
    const page = await readFile(PAGE, "utf8");
    const { markdown } = compareChecks(results);
    if (process.env["BLAZAR_WRITE_DOCS"] !== undefined)
      return writeFile(
        PAGE,
        page.replace(TABLE, (_, begin, __, end) => `${begin}\n${markdown}\n${end}`),
      );
    const failed = results.blazar.filter(({ ok }) => !ok);
    expect(failed.filter(({ name }) => !listed(page).includes(name))).toEqual([]);
  });
});

/** A template whose memory was damaged on the disk, at the same size: pods start nevertheless, and it is made anew. */
import { open, readdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import { afterAll, beforeAll, expect, it } from "vitest";
import { until } from "../../lab/host/until.ts";
import { TestNode, type TestPod } from "../support/e2e/node.ts";

const MEGABYTE = 2 ** 20;
/** Where the kernel's text is, which any guest runs. */
const TEXT_AT = 16 * MEGABYTE;
const DAMAGED_BYTES = 4 * MEGABYTE;

let node: TestNode;

beforeAll(async () => {
  node = await TestNode.start({
    config: { template: { enabled: true, fork: false }, deadlines: { copyHello: 10_000 } },
  });
});

afterAll(() => node.stop());

async function bootOf(pod: TestPod): Promise<string | undefined> {
  return (await node.cri.podSandboxStatus(pod.id, true)).info["boot"];
}

/** Starts and removes pods until one was cloned. */
function cloned(): Promise<true> {
  return until("a clone", async () => {
    const pod = await node.runPod();
    const boot = await bootOf(pod);
    await node.removePod(pod);
    return boot === "clone" ? true : undefined;
  });
}

async function damage(): Promise<void> {
  const templates = join(node.node.directory, "templates");
  const [key] = (await readdir(templates)).filter((name) => /^[0-9a-f]{32}$/.test(name));
  const file = await open(join(templates, key ?? "", "vm", "memory"), "r+");
  try {
    await file.write(Buffer.alloc(DAMAGED_BYTES, 0xa5), 0, DAMAGED_BYTES, TEXT_AT);
  } finally {
    await file.close();
  }
}

it("is noticed by the first clone, whose pod boots; the next ones are clones of another template", async () => {
  await cloned();
  // what a daemon has loaded is not the file any more
  await damage();
  await node.node.restartBlazard();
  const pod = await node.runPod();
  expect(await bootOf(pod)).toBe("cold");
  const container = await node.startContainer(pod, "echo it runs");
  await node.waitForLog(container, "it runs");
  await node.removePod(pod);
  await until("the damage in the log", async () =>
    (await readFile(node.node.blazardLog, "utf8")).includes("a template is damaged and was removed")
      ? true
      : undefined,
  );
  await cloned();
  expect(await node.leftovers()).toEqual([]);
});

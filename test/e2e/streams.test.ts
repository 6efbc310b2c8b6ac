/** Standard streams of containers beside each other, and a pod whose users are not the guest's. */
import { Writable } from "node:stream";
import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest";
import { NamespaceMode } from "../../src/rpc/generated/runtime/v1/cri.ts";
import { TestNode } from "../support/e2e/node.ts";

let node: TestNode;

beforeAll(async () => {
  node = await TestNode.start();
});

afterEach(async () => {
  await node.stopAll();
  expect(await node.leftovers()).toEqual([]);
});

afterAll(() => node.stop());

describe("standard streams", () => {
  it("of one container that nobody reads hold up no other, and end with their process", async () => {
    const pod = await node.runPod();
    const [flooding, quiet] = [
      await node.startContainer(pod, "exec sleep 1000"),
      await node.startContainer(pod, "exec sleep 1000"),
    ];
    const unread = new AbortController();
    const stdout = new Writable({ highWaterMark: 1, write: () => undefined });
    const flood = await node.cri.exec(flooding.id, ["dd", "if=/dev/zero"], { stdout, signal: unread.signal });
    flood.exitCode.catch(() => undefined);
    const lines = Array.from({ length: 200_000 }, (_, at) => `${at + 1}\n`).join("");
    expect((await node.exec(quiet, "seq 1 200000")).stdout).toBe(lines);
    // the container of the flood answers, too
    expect((await node.exec(flooding, "echo still here")).stdout).toBe("still here\n");
    unread.abort();
  });

  it("of an exec do not wait for a child that holds them for longer than is allowed", async () => {
    const pod = await node.runPod();
    const container = await node.startContainer(pod, "exec sleep 1000");
    const { code, stdout } = await node.exec(container, "sleep 500 & echo done; exit 3");
    expect({ code, stdout }).toEqual({ code: 3, stdout: "done\n" });
  });
});

describe("a pod with hostUsers: false", () => {
  const ids = [{ containerId: 0, hostId: 400_000, length: 65_536 }];
  const usernsOptions = { mode: NamespaceMode.POD, uids: ids, gids: ids };
  const config = { linux: { securityContext: { namespaceOptions: { usernsOptions } } } };

  it("runs containers that are root inside only, in one user namespace", async () => {
    const pod = await node.runPod({ config });
    const one = await node.startContainer(pod, "exec sleep 1000", config);
    const two = await node.startContainer(pod, "exec sleep 1000", config);
    const script =
      "readlink /proc/self/ns/user; cat /proc/self/uid_map; touch /etc/new; stat -c %u:%g /etc /etc/new";
    const [first, second] = [await node.exec(one, script), await node.exec(two, script)];
    expect(first.stdout).toMatch(/^user:\[\d+\]\n\s+0\s+400000\s+65536\n0:0\n0:0\n$/);
    expect(second.stdout).toBe(first.stdout);
    expect((await node.exec(one, "cat /etc/hosts /etc/resolv.conf > /dev/null && echo read")).stdout).toBe(
      "read\n",
    );
    expect((await node.exec(one, "mknod /n c 1 3 2>&1")).stdout).toContain("Operation not permitted");
  });

  it("is refused when it is made, if its maps have no root", async () => {
    const uids = [{ containerId: 1, hostId: 400_000, length: 10 }];
    const without = {
      linux: { securityContext: { namespaceOptions: { usernsOptions: { ...usernsOptions, uids } } } },
    };
    await expect(node.runPod({ config: without })).rejects.toThrow("uids: id 0 is not mapped");
  });
});

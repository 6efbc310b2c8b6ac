import { expect, test } from "vitest";
import { HostRootfsStore } from "../../../../src/host/storage/rootfs-store.ts";

test("a worker is started ahead of its first task, and left alone while there is one", () => {
  const ran: string[] = [];
  const workers = {
    isAwake: false,
    run: (name: string) => {
      ran.push(name);
      return Promise.reject(new Error("nobody waits for this"));
    },
  };
  const store = new HostRootfsStore({ workers, empty: { path: "/empty.ext4", extents: [] } as never });
  store.warm();
  workers.isAwake = true;
  store.warm();
  expect(ran).toEqual(["warm"]);
});

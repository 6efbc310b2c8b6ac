/** Which sandboxes containerd knows: asked of a server with its services, and only of the one that calls this daemon. */
import { symlink } from "node:fs/promises";
import { createServer } from "node:net";
import { join } from "node:path";
import { Server, ServerCredentials } from "@grpc/grpc-js";
import { describe, expect, it, onTestFinished } from "vitest";
import { DEFAULT_DEADLINES } from "../../../../src/contracts/deadlines.ts";
import { ContainerdSandboxes } from "../../../../src/rpc/containerd/sandboxes.ts";
import {
  type IntrospectionServer,
  IntrospectionService,
  PluginsResponse,
} from "../../../../src/rpc/generated/containerd/services/introspection/v1/introspection.ts";
import {
  ListNamespacesResponse,
  type NamespacesServer,
  NamespacesService,
} from "../../../../src/rpc/generated/containerd/services/namespaces/v1/namespace.ts";
import {
  StoreListResponse,
  type StoreServer,
  StoreService,
} from "../../../../src/rpc/generated/containerd/services/sandbox/v1/store.ts";
import { temporaryDirectory } from "../../../support/temporary-directory.ts";

/** @param address of its sandboxers; by default none has any */
async function containerd(socket: string, ...addresses: string[]): Promise<void> {
  const server = new Server();
  const introspection: Partial<IntrospectionServer> = {
    plugins: ({ request }, answer) => {
      expect(request.filters).toEqual(["type==io.containerd.sandbox.controller.v1"]);
      const plugins = addresses.map((address) => ({ exports: { address } }));
      answer(null, PluginsResponse.fromPartial({ plugins: [{ id: "podsandbox" }, ...plugins] }));
    },
  };
  const namespaces: Partial<NamespacesServer> = {
    list: (_, answer) =>
      answer(null, ListNamespacesResponse.fromPartial({ namespaces: [{ name: "k8s.io" }] })),
  };
  const store: Partial<StoreServer> = {
    list: (_, answer) =>
      answer(null, StoreListResponse.fromPartial({ list: [{ sandboxId: "s1", sandboxer: "blazar" }] })),
  };
  server.addService(IntrospectionService, introspection as never);
  server.addService(NamespacesService, namespaces as never);
  server.addService(StoreService, store as never);
  await new Promise<void>((resolve, reject) => {
    server.bindAsync(`unix:${socket}`, ServerCredentials.createInsecure(), (error) =>
      error === null ? resolve() : reject(error),
    );
  });
  onTestFinished(() => server.forceShutdown());
}

async function bench(...addresses: string[]) {
  const directory = await temporaryDirectory();
  const socket = join(directory, "containerd.sock");
  const controller = join(directory, "blazar.sock");
  await containerd(socket, ...addresses.map((address) => address.replace("DIR", directory)));
  const sandboxes = new ContainerdSandboxes({ socket, controller, deadlines: DEFAULT_DEADLINES });
  onTestFinished(() => sandboxes.close());
  return { directory, sandboxes };
}

describe("the sandboxes of containerd", () => {
  it("are not told where none runs, in words for people", async () => {
    const socket = join(await temporaryDirectory(), "containerd.sock");
    const sandboxes = new ContainerdSandboxes({
      ...{ socket, controller: "/run/blazar/blazar.sock", deadlines: DEFAULT_DEADLINES },
    });
    onTestFinished(() => sandboxes.close());
    await expect(sandboxes.list()).rejects.toThrow(
      new RegExp(`Introspection\\.Plugins: it cannot be reached: connect ENOENT ${socket}$`),
    );
  });

  it("are not told by one that does not answer in time, in words for people", async () => {
    const directory = await temporaryDirectory();
    const socket = join(directory, "containerd.sock");
    const silent = createServer(() => undefined).listen(socket);
    const deadlines = { ...DEFAULT_DEADLINES, containerdCall: 200 };
    const sandboxes = new ContainerdSandboxes({ socket, controller: "/run/blazar/blazar.sock", deadlines });
    onTestFinished(() => {
      sandboxes.close();
      silent.close();
    });
    await expect(sandboxes.list()).rejects.toThrow(/it has not answered within [\d.]+ s$/);
  });

  it.each(["DIR/blazar.sock", "unix://DIR/blazar.sock"])(
    "are told by the one that calls %s",
    async (address) => {
      const { sandboxes } = await bench("/another.sock", address);
      expect(await sandboxes.list()).toEqual([{ id: "s1", sandboxer: "blazar" }]);
    },
  );

  it("are told whatever the directory is called", async () => {
    const { directory, sandboxes } = await bench("DIR/alias/blazar.sock");
    await symlink(directory, join(directory, "alias"));
    expect(await sandboxes.list()).toHaveLength(1);
  });

  it.each([[[]], [["/run/another/blazar.sock"]]])(
    "are not told by one that calls another daemon, or none: %j",
    async (addresses) => {
      const { sandboxes } = await bench(...addresses);
      await expect(sandboxes.list()).rejects.toMatchObject({
        code: "InvalidConfig",
        message: expect.stringMatching(/not this daemon's containerd.*daemon\.containerd_socket/),
      });
    },
  );
});

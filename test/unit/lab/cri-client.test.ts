import { once } from "node:events";
import { join } from "node:path";
import { PassThrough, Writable } from "node:stream";
import {
  Server,
  ServerCredentials,
  type ServiceDefinition,
  status,
  type UntypedServiceImplementation,
} from "@grpc/grpc-js";
import { describe, expect, it, onTestFinished, vi } from "vitest";
import type WebSocket from "ws";
import { WebSocketServer } from "ws";
import { CriClient } from "../../../lab/cri/client.ts";
import {
  ContainerState,
  type CreateContainerRequest,
  type ExecRequest,
  type RunPodSandboxRequest,
  RuntimeServiceService,
} from "../../../src/rpc/generated/runtime/v1/cri.ts";
import { temporaryDirectory } from "../../support/temporary-directory.ts";

type Answer = (request: never) => unknown;

/** A CRI server that answers the given methods and fails the rest with Unimplemented. */
async function serveCri(answers: Record<string, Answer>): Promise<CriClient> {
  const path = join(await temporaryDirectory(), "containerd.sock");
  const server = new Server();
  const implementation = Object.fromEntries(
    Object.entries(answers).map(([name, answer]) => [
      name,
      ({ request }: { request: never }, callback: (error: unknown, value?: unknown) => void) => {
        try {
          callback(null, answer(request));
        } catch (error) {
          callback(error);
        }
      },
    ]),
  );
  server.addService(
    RuntimeServiceService as ServiceDefinition,
    implementation as unknown as UntypedServiceImplementation,
  );
  await new Promise<void>((resolve, reject) => {
    server.bindAsync(`unix:${path}`, ServerCredentials.createInsecure(), (error) => {
      if (error === null) resolve();
      else reject(error);
    });
  });
  onTestFinished(() => server.forceShutdown());
  const client = new CriClient(path, { timeoutMs: 5_000 });
  onTestFinished(() => client.close());
  return client;
}

/** A streaming server; `session` gets the connection of each exec. */
async function serveStreams(session: (socket: WebSocket) => void): Promise<string> {
  const server = new WebSocketServer({
    host: "127.0.0.1",
    port: 0,
    handleProtocols: (offered) => (offered.has("v4.channel.k8s.io") ? "v4.channel.k8s.io" : false),
  });
  server.on("connection", session);
  await once(server, "listening");
  onTestFinished(() => {
    for (const socket of server.clients) socket.terminate();
    server.close();
  });
  const address = server.address();
  if (address === null || typeof address === "string") throw new Error("no port");
  return `http://127.0.0.1:${address.port}/exec/token`;
}

function frame(channel: number, text: string): Buffer {
  return Buffer.concat([Buffer.of(channel), Buffer.from(text)]);
}

const SUCCESS = JSON.stringify({ metadata: {}, status: "Success" });

function exited(code: number): string {
  return JSON.stringify({
    status: "Failure",
    message: `command terminated with non-zero exit code: ${code}`,
    reason: "NonZeroExitCode",
    details: { causes: [{ reason: "ExitCode", message: String(code) }] },
  });
}

function collected(): { stream: PassThrough; text: () => string } {
  const chunks: Buffer[] = [];
  const stream = new PassThrough();
  stream.on("data", (chunk: Buffer) => chunks.push(chunk));
  return { stream, text: () => Buffer.concat(chunks).toString() };
}

describe("the CRI client", () => {
  it("fills in what the caller left out of a pod's configuration", async () => {
    const seen: RunPodSandboxRequest[] = [];
    const cri = await serveCri({
      runPodSandbox: (request: RunPodSandboxRequest) => {
        seen.push(request);
        return { podSandboxId: "p1" };
      },
    });
    expect(await cri.runPodSandbox({ metadata: { name: "web", uid: "1" } }, "blazar")).toBe("p1");
    expect(seen[0]).toMatchObject({ runtimeHandler: "blazar", config: { metadata: { name: "web" } } });
  });

  it("sends the container's configuration together with its pod's", async () => {
    const seen: CreateContainerRequest[] = [];
    const cri = await serveCri({
      createContainer: (request: CreateContainerRequest) => {
        seen.push(request);
        return { containerId: "c1" };
      },
    });
    const id = await cri.createContainer(
      "p1",
      { image: { image: "busybox" }, command: ["sleep", "1"] },
      { hostname: "h" },
    );
    expect(id).toBe("c1");
    expect(seen[0]).toMatchObject({
      podSandboxId: "p1",
      config: { command: ["sleep", "1"], image: { image: "busybox" } },
      sandboxConfig: { hostname: "h" },
    });
  });

  it("keeps times in nanoseconds exact", async () => {
    const cri = await serveCri({
      containerStatus: () => ({
        status: {
          id: "c1",
          state: ContainerState.CONTAINER_EXITED,
          createdAt: 1_714_979_289_123_456_789n,
          startedAt: 0n,
          finishedAt: 0n,
          exitCode: 3,
          imageRef: "",
          reason: "Error",
          message: "",
          labels: {},
          annotations: {},
          mounts: [],
          logPath: "",
          imageId: "",
        },
        info: {},
      }),
    });
    const { status: state } = await cri.containerStatus("c1");
    expect(state).toMatchObject({ createdAt: 1_714_979_289_123_456_789n, exitCode: 3, reason: "Error" });
  });

  it("names the call and keeps the kind when containerd refuses", async () => {
    const cri = await serveCri({
      podSandboxStatus: () => {
        throw { code: status.NOT_FOUND, details: "no such sandbox" };
      },
    });
    await expect(cri.podSandboxStatus("p9")).rejects.toMatchObject({
      code: "RemoteNotFound",
      kind: "notFound",
      message: "cannot call CRI's PodSandboxStatus: no such sandbox",
    });
    await expect(cri.listContainers()).rejects.toMatchObject({ kind: "unimplemented" });
  });

  it("says Unavailable when nobody listens", async () => {
    const cri = new CriClient(join(await temporaryDirectory(), "none.sock"), { timeoutMs: 2_000 });
    onTestFinished(() => cri.close());
    await expect(cri.version()).rejects.toMatchObject({ kind: "unavailable" });
  });
});

describe("exec through the CRI client", () => {
  async function setUp(session: (socket: WebSocket) => void) {
    const url = await serveStreams(session);
    const requests: ExecRequest[] = [];
    const cri = await serveCri({
      exec: (request: ExecRequest) => {
        requests.push(request);
        return { url };
      },
    });
    return { cri, requests };
  }

  it("keeps stdout and stderr apart and returns the exit code after all output", async () => {
    const { cri, requests } = await setUp((socket) => {
      socket.send(frame(1, ""));
      socket.send(frame(1, "out 1\n"));
      socket.send(frame(2, "err\n"));
      socket.send(frame(3, exited(42)));
      socket.send(frame(1, "out 2\n"));
      socket.close();
    });
    const [stdout, stderr] = [collected(), collected()];
    const process = await cri.exec("c1", ["sh"], { stdout: stdout.stream, stderr: stderr.stream });
    expect(await process.exitCode).toBe(42);
    expect(stdout.text()).toBe("out 1\nout 2\n");
    expect(stderr.text()).toBe("err\n");
    expect(requests[0]).toEqual({
      containerId: "c1",
      cmd: ["sh"],
      tty: false,
      stdin: false,
      stdout: true,
      stderr: true,
    });
  });

  it("carries input and the terminal's size", async () => {
    const { cri, requests } = await setUp((socket) => {
      socket.on("message", (data: Buffer) => {
        if (data[0] === 4) socket.send(frame(1, `size ${data.subarray(1).toString()};`));
        if (data[0] !== 0) return;
        const input = data.subarray(1).toString();
        socket.send(frame(1, `got ${input};`));
        if (input !== "exit") return;
        socket.send(frame(3, SUCCESS));
        socket.close();
      });
    });
    const stdin = new PassThrough();
    const stdout = collected();
    const process = await cri.exec("c1", ["sh"], { tty: true, stdin, stdout: stdout.stream });
    process.resize(80, 24);
    await vi.waitFor(() => expect(stdout.text()).toContain("size"));
    stdin.write("hello");
    await vi.waitFor(() => expect(stdout.text()).toContain("hello"));
    await process.write("exit");
    expect(await process.exitCode).toBe(0);
    expect(stdout.text()).toBe('size {"Width":80,"Height":24};got hello;got exit;');
    expect(requests[0]).toMatchObject({ tty: true, stdin: true, stderr: false });
    expect(stdin.listenerCount("data")).toBe(0);
  });

  it("loses nothing to a reader that is slower than the sender", async () => {
    const line = "x".repeat(10_000);
    const { cri } = await setUp((socket) => {
      for (let i = 0; i < 100; i++) socket.send(frame(1, line));
      socket.send(frame(3, SUCCESS));
      socket.close();
    });
    let bytes = 0;
    const slow = new Writable({
      highWaterMark: 1,
      write(chunk: Buffer, _encoding, done) {
        bytes += chunk.length;
        setImmediate(done);
      },
    });
    const process = await cri.exec("c1", ["yes"], { stdout: slow });
    await process.exitCode;
    await vi.waitFor(() => expect(bytes).toBe(1_000_000));
  });

  it("reports a command that could not be run, and a connection that broke", async () => {
    const failing = await setUp((socket) => {
      socket.send(frame(3, JSON.stringify({ status: "Failure", message: "no such program" })));
      socket.close();
    });
    const failed = await failing.cri.exec("c1", ["nope"]);
    await expect(failed.exitCode).rejects.toThrow("no such program");
    const breaking = await setUp((socket) => socket.terminate());
    const broken = await breaking.cri.exec("c1", ["sh"]);
    await expect(broken.exitCode).rejects.toMatchObject({ kind: "unavailable" });
  });

  it("breaks the connection when its signal aborts", async () => {
    const { cri } = await setUp(() => undefined);
    const controller = new AbortController();
    const process = await cri.exec("c1", ["sleep"], { signal: controller.signal });
    controller.abort();
    await expect(process.exitCode).rejects.toMatchObject({ kind: "unavailable" });
  });
});

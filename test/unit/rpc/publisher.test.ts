import { rm } from "node:fs/promises";
import { join } from "node:path";
import { describe, expect, it, onTestFinished, vi } from "vitest";
import { blazarError } from "../../../src/contracts/errors.ts";
import type { TaskEvent } from "../../../src/contracts/task.ts";
import { EventPublisher } from "../../../src/rpc/events/publisher.ts";
import {
  TaskCreate,
  TaskExit,
  TaskOOM,
  TaskStart,
} from "../../../src/rpc/generated/containerd/events/task.ts";
import { EventsDefinition } from "../../../src/rpc/generated/containerd/services/events/ttrpc/v1/events.ts";
import type { Envelope } from "../../../src/rpc/generated/containerd/types/types.ts";
import { TtrpcDispatcher } from "../../../src/rpc/ttrpc/dispatcher.ts";
import { TtrpcServer } from "../../../src/rpc/ttrpc/server.ts";
import { bindService, type TtrpcHandlers } from "../../../src/rpc/ttrpc/service.ts";
import { CapturedLogger } from "../../support/captured-logger.ts";
import { temporaryDirectory } from "../../support/temporary-directory.ts";

interface Received {
  namespace: unknown;
  envelope: Envelope;
}

/** containerd's side of events: keeps what it is sent, refuses topics on request. */
class EventsRecorder {
  readonly received: Received[] = [];
  readonly refused = new Set<string>();
  private server: TtrpcServer | undefined;

  /** @param path of containerd's gRPC socket */
  async listen(path: string): Promise<void> {
    const forward: TtrpcHandlers<typeof EventsDefinition>["forward"] = ({ envelope }, { metadata }) => {
      if (envelope === undefined || this.refused.has(envelope.topic)) {
        throw blazarError("InvalidArgument", "forward", "no such event");
      }
      this.received.push({ namespace: metadata.get("containerd-namespace-ttrpc"), envelope });
      return {};
    };
    const logger = new CapturedLogger();
    const events = bindService(EventsDefinition, { forward });
    this.server = new TtrpcServer(new TtrpcDispatcher([events], logger), logger);
    await this.server.listen(`${path}.ttrpc`);
  }

  async close(): Promise<void> {
    await this.server?.close();
    this.server = undefined;
  }

  get topics(): string[] {
    return this.received.map(({ envelope }) => envelope.topic);
  }
}

async function setUp(options: { capacity?: number; isDown?: boolean } = {}) {
  const socket = join(await temporaryDirectory(), "containerd.sock");
  const recorder = new EventsRecorder();
  if (options.isDown !== true) await recorder.listen(socket);
  onTestFinished(() => recorder.close());
  const logger = new CapturedLogger();
  const retry = { initialMs: 5, maxMs: 20 };
  const publisher = new EventPublisher({ socket, logger, retry, capacity: options.capacity ?? 100 });
  onTestFinished(() => publisher.close());
  return { socket, recorder, publisher, logger };
}

const base = { namespace: "k8s.io", containerId: "c1" };
const io = { stdin: "", stdout: "/o", stderr: "/e", terminal: false };
const rootfs = [{ type: "overlay", source: "overlay", target: "", options: ["lowerdir=/a"] }];
const exitedAt = new Date(1_700_000_000_000);

describe("the event publisher", () => {
  it("forwards every event in order, under its topic and namespace", async () => {
    const { recorder, publisher } = await setUp();
    const events: TaskEvent[] = [
      { ...base, type: "create", bundle: "/b", rootfs, ...io, pid: 7 },
      { ...base, type: "start", pid: 7 },
      { ...base, type: "exec-added", execId: "e1" },
      { ...base, type: "exec-started", execId: "e1", pid: 8 },
      { ...base, type: "oom" },
      { ...base, type: "exit", id: "c1", pid: 7, exitStatus: 137, exitedAt },
      { ...base, type: "delete", pid: 7, exitStatus: 137, exitedAt },
    ];
    for (const event of events) publisher.publish(event);
    await publisher.flush();
    expect(recorder.topics).toEqual([
      "/tasks/create",
      "/tasks/start",
      "/tasks/exec-added",
      "/tasks/exec-started",
      "/tasks/oom",
      "/tasks/exit",
      "/tasks/delete",
    ]);
    expect(recorder.received.map(({ namespace }) => namespace)).toEqual(events.map(() => "k8s.io"));
    expect(recorder.received.map(({ envelope }) => envelope.namespace)).toEqual(events.map(() => "k8s.io"));
    expect(recorder.received.map(({ envelope }) => envelope.event?.typeUrl)).toEqual([
      "containerd.events.TaskCreate",
      "containerd.events.TaskStart",
      "containerd.events.TaskExecAdded",
      "containerd.events.TaskExecStarted",
      "containerd.events.TaskOOM",
      "containerd.events.TaskExit",
      "containerd.events.TaskDelete",
    ]);
  });

  it("fills the messages that containerd reads", async () => {
    const { recorder, publisher } = await setUp();
    publisher.publish({ ...base, type: "create", bundle: "/b", rootfs, ...io, pid: 7 });
    publisher.publish({ ...base, type: "oom" });
    publisher.publish({ ...base, type: "exit", id: "e1", pid: 7, exitStatus: 3, exitedAt });
    await publisher.flush();
    const [create, oom, exit] = recorder.received.map(
      ({ envelope }) => envelope.event?.value ?? new Uint8Array(),
    );
    expect(TaskCreate.decode(create ?? new Uint8Array())).toEqual({
      containerId: "c1",
      bundle: "/b",
      rootfs,
      io,
      checkpoint: "",
      pid: 7,
    });
    expect(TaskOOM.decode(oom ?? new Uint8Array())).toEqual({ containerId: "c1" });
    expect(TaskExit.decode(exit ?? new Uint8Array())).toEqual({
      containerId: "c1",
      id: "e1",
      pid: 7,
      exitStatus: 3,
      exitedAt: { seconds: 1_700_000_000n, nanos: 0 },
    });
  });

  it("keeps events while containerd is down and sends them once it is there", async () => {
    const { socket, recorder, publisher } = await setUp({ isDown: true });
    publisher.publish({ ...base, type: "start", pid: 1 });
    publisher.publish({ ...base, type: "oom" });
    await recorder.listen(socket);
    await publisher.flush();
    expect(recorder.topics).toEqual(["/tasks/start", "/tasks/oom"]);
    expect(publisher.dropped).toBe(0);
  });

  it("goes on after containerd was restarted", async () => {
    const { socket, recorder, publisher } = await setUp();
    publisher.publish({ ...base, type: "start", pid: 1 });
    await publisher.flush();
    await recorder.close();
    await rm(`${socket}.ttrpc`, { force: true });
    publisher.publish({ ...base, type: "oom" });
    const next = new EventsRecorder();
    onTestFinished(() => next.close());
    await next.listen(socket);
    await publisher.flush();
    expect(next.topics).toEqual(["/tasks/oom"]);
  });

  it("drops the oldest when too many wait, counts them and says so once", async () => {
    const { socket, recorder, publisher, logger } = await setUp({ capacity: 3, isDown: true });
    for (let pid = 1; pid <= 10; pid++) publisher.publish({ ...base, type: "start", pid });
    expect(publisher.dropped).toBe(6);
    await recorder.listen(socket);
    await publisher.flush();
    const pids = recorder.received.map(
      ({ envelope }) => TaskStart.decode(envelope.event?.value ?? new Uint8Array()).pid,
    );
    // the first was under way when the queue filled up
    expect(pids).toEqual([1, 8, 9, 10]);
    const warnings = logger.lines.filter(({ level }) => level === "warn");
    expect(warnings.map(({ fields }) => fields)).toEqual([{ capacity: 3 }, { dropped: 6 }]);
  });

  it("gives up an event that containerd refuses, and sends the next", async () => {
    const { recorder, publisher, logger } = await setUp();
    recorder.refused.add("/tasks/oom");
    publisher.publish({ ...base, type: "oom" });
    publisher.publish({ ...base, type: "start", pid: 1 });
    await publisher.flush();
    expect(recorder.topics).toEqual(["/tasks/start"]);
    expect(publisher.dropped).toBe(1);
    expect(logger.lines[0]).toMatchObject({ level: "warn", fields: { topic: "/tasks/oom" } });
  });

  it("closes at once even while containerd is down", async () => {
    const { publisher } = await setUp({ isDown: true });
    publisher.publish({ ...base, type: "oom" });
    await publisher.close();
    publisher.publish({ ...base, type: "oom" });
    await vi.waitFor(() => publisher.flush());
  });
});

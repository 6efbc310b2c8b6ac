/** The guest in memory behaves as the agent does, and misbehaves as it is told. */
import { describe, expect, it } from "vitest";
import { blazarError } from "../../../src/contracts/errors.ts";
import type { VmSpec } from "../../../src/contracts/vm.ts";
import { StreamReceiver, StreamSender } from "../../../src/protocol/wire/stream.ts";
import { type Greeted, greet, record } from "../../support/conformance/vmm-bench.ts";
import type { FakeGuestOptions } from "../../support/fake-guest/guest.ts";
import { FakeVmmDriver } from "../../support/fake-vmm/driver.ts";
import type { FakeVm, VmFaults } from "../../support/fake-vmm/vm.ts";
import { containerCreate, guestProcess, sandboxSetup } from "../../support/guest-requests.ts";

const SPEC: VmSpec = {
  id: "vm",
  directory: "/nowhere",
  vcpus: 1,
  memoryBytes: 256 * 1024 * 1024,
  nics: 1,
  user: undefined,
  cgroups: [],
  source: { kind: "boot" },
};

interface Bench extends Greeted {
  readonly vm: FakeVm;
  readonly events: { event: string; params: unknown }[];
  ask(op: string, params: object): Promise<unknown>;
}

function launch(guest: FakeGuestOptions = {}, faults: VmFaults = {}): Promise<FakeVm> {
  return new FakeVmmDriver({ guest: () => guest, faults: () => faults }).launch(SPEC);
}

async function start(guest: FakeGuestOptions = {}): Promise<Bench> {
  const vm = await launch(guest);
  const events: Bench["events"] = [];
  const greeted = await greet(vm, (event, params) => events.push({ event, params }));
  return { ...greeted, vm, events, ask: (op, params) => greeted.peer.request(op, params).result };
}

/** Lets everything that is scheduled happen. */
function settle(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve));
}

/** Collects an output stream of the guest. */
function output({ peer }: Bench, stream: number): { text: () => string; ended: () => boolean } {
  let [text, ended] = ["", false];
  const receiver: StreamReceiver = new StreamReceiver({
    stream,
    send: (frame) => peer.send(frame),
    onData: (bytes) => {
      text += Buffer.from(bytes).toString();
      receiver.consumed(bytes.length);
    },
    onEnd: () => {
      ended = true;
      receiver.consumedEnd();
    },
  });
  peer.openStream(stream, {
    data: (offset, bytes) => receiver.data(offset, bytes),
    end: (offset) => receiver.end(offset),
    attached: () => receiver.attached(),
  });
  return { text: () => text, ended: () => ended };
}

describe("a container of the fake guest", () => {
  it("runs by its script: output, exit, and the event after the output", async () => {
    const bench = await start({ script: () => ({ stdout: "out", stderr: "err", exit: 3 }) });
    const [out, err] = [output(bench, 1), output(bench, 2)];
    await bench.ask("sandbox.setup", sandboxSetup());
    await bench.ask(
      "container.create",
      containerCreate("c", ["x"], { stdio: { stdin: 0, stdout: 1, stderr: 2 } }),
    );
    expect(bench.events).toEqual([]);
    await bench.ask("process.start", { id: "c", execId: "" });
    await settle();
    expect([out.text(), err.text(), out.ended(), err.ended()]).toEqual(["out", "err", true, true]);
    expect(bench.events).toEqual([
      { event: "process.exited", params: { id: "c", execId: "", status: 3, returned: [] } },
    ]);
    await bench.ask("container.delete", { id: "c" });
    expect(bench.vm.guest.containers.size).toBe(0);
  });

  it("ends by a signal, unless it ignores it", async () => {
    const bench = await start({ script: () => ({ ignores: [15] }) });
    await bench.ask("container.create", containerCreate("c", ["x"]));
    await bench.ask("process.start", { id: "c", execId: "" });
    await bench.ask("process.signal", { id: "c", execId: "", signal: 15, all: false });
    await settle();
    expect(bench.vm.guest.process("c").state).toBe("running");
    await bench.ask("process.signal", { id: "c", execId: "", signal: 9, all: false });
    await settle();
    expect(bench.vm.guest.process("c").status).toBe(137);
    const late = bench.ask("process.signal", { id: "c", execId: "", signal: 9, all: false });
    await expect(late).rejects.toMatchObject({ code: "ProcessNotFound" });
  });

  it("takes input, echoes it, and ends with it", async () => {
    const bench = await start({ script: () => ({ echo: true, untilEndOfInput: true }) });
    const out = output(bench, 2);
    const sender = new StreamSender({ stream: 1, send: (frame) => bench.peer.send(frame) });
    bench.peer.openStream(1, { acknowledged: (offset, window) => sender.acknowledged(offset, window) });
    await bench.ask(
      "container.create",
      containerCreate("c", ["cat"], { stdio: { stdin: 1, stdout: 2, stderr: 0 } }),
    );
    await bench.ask("process.start", { id: "c", execId: "" });
    sender.write(Buffer.from("hello"));
    sender.finish();
    await settle();
    await settle();
    expect([out.text(), out.ended()]).toEqual(["hello", true]);
    expect(bench.vm.guest.process("c").status).toBe(0);
  });

  it("has execs, which end with its first process", async () => {
    const bench = await start();
    await bench.ask("container.create", containerCreate("c", ["x"]));
    const exec = {
      id: "c",
      execId: "e",
      process: guestProcess(["y"]),
      stdio: { stdin: 0, stdout: 0, stderr: 0 },
    };
    await expect(bench.ask("process.exec", exec)).rejects.toMatchObject({ code: "ContainerNotRunning" });
    await bench.ask("process.start", { id: "c", execId: "" });
    await bench.ask("process.exec", exec);
    await expect(bench.ask("process.exec", exec)).rejects.toMatchObject({ code: "ProcessExists" });
    expect(await bench.ask("container.pids", { id: "c" })).toMatchObject({ pids: [100, 101] });
    bench.vm.guest.process("c").exit(0);
    await settle();
    expect(bench.events.map(({ params }) => params)).toMatchObject([
      { execId: "", status: 0 },
      { execId: "e", status: 137 },
    ]);
    await bench.ask("process.delete", { id: "c", execId: "e" });
  });

  it("goes with the machine when the sandbox is shut down", async () => {
    const bench = await start();
    const events = record(bench.vm);
    await bench.ask("container.create", containerCreate("c", ["x"]));
    await bench.ask("process.start", { id: "c", execId: "" });
    await bench.ask("sandbox.shutdown", {});
    await events.ended;
    expect(events.types()).toEqual(["vmm.guestShutdown", "vmm.exited"]);
    expect(bench.events).toMatchObject([{ params: { id: "c", status: 137 } }]);
  });
});

describe("a faulty guest", () => {
  const broken = blazarError("GuestFailed", "set up", "told so");

  it("refuses, hangs, answers nonsense or noise, or breaks the link, by request", async () => {
    const refusing = await start({ faults: { fails: { "sandbox.setup": broken } } });
    await expect(refusing.ask("sandbox.setup", sandboxSetup())).rejects.toMatchObject({
      code: "GuestFailed",
    });

    const nonsense = await start({ faults: { nonsense: new Set(["container.pids"] as const) } });
    await nonsense.ask("container.create", containerCreate("c", ["x"]));
    expect(await nonsense.ask("container.pids", { id: "c" })).toBe("nonsense");

    const hanging = await start({ faults: { hangs: new Set(["ping"] as const) } });
    const answered = hanging.ask("ping", {}).then(() => "answered");
    expect(await Promise.race([answered, settle().then(() => "silence")])).toBe("silence");

    const breaking = await start({ faults: { breaks: new Set(["ping"] as const) } });
    void breaking.ask("ping", {});
    await breaking.closed;
  });

  it("says hello wrongly, or not at all", async () => {
    await expect(greet(await launch({ faults: { helloVersion: 99 } }))).rejects.toMatchObject({
      code: "ProtocolVersion",
    });
    await expect(greet(await launch({ faults: { badHello: true } }))).rejects.toMatchObject({
      code: "FrameMalformed",
    });
    const silent = greet(await launch({ faults: { silent: true } })).then(() => "hello");
    expect(await Promise.race([silent, settle().then(() => "silence")])).toBe("silence");
    await expect(greet(await launch({}, { agentLink: "garbage" }))).rejects.toMatchObject({
      code: "FrameTooLong",
    });
    await expect(greet(await launch({}, { agentLink: "closes" }))).rejects.toThrow("closed before");
  });

  it("forgets everything when its agent crashes, and has another session then", async () => {
    const vm = await launch();
    const { peer, closed, link, session } = await greet(vm);
    await peer.request("container.create", containerCreate("c", ["x"])).result;
    vm.guest.crash();
    expect(vm.guest.containers.size).toBe(0);
    await settle();
    link.close();
    await closed;
    expect([session, (await greet(vm)).session]).toEqual(["vm-1", "vm-2"]);
  });

  it("refuses what the protocol forbids", async () => {
    const bench = await start();
    const wrong = bench.ask("process.signal", { id: "c", execId: "", signal: 99, all: false });
    await expect(wrong).rejects.toMatchObject({ code: "FrameMalformed" });
    await expect(bench.ask("make.coffee", {})).rejects.toMatchObject({ code: "Unimplemented" });
  });
});

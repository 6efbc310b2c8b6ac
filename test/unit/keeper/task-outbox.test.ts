/** Requests go to the daemon in order and no faster than it takes them. */
import { describe, expect, it } from "vitest";
import { TaskOutbox } from "../../../keeper/tasks/task-outbox.ts";

const MIB = 1024 * 1024;

/** A link whose other end reads when a test has it read. */
function linked() {
  const sent: number[] = [];
  const state: { queued: number | undefined } = { queued: 0 };
  const outbox: TaskOutbox = new TaskOutbox({
    queued: () => state.queued,
    send: (frame) => {
      sent.push(frame[0] ?? -1);
      state.queued = (state.queued ?? 0) + frame.length;
      // what the kernel takes at once is told within the call
      outbox.pump();
    },
  });
  const request = (number: number, isWanted = true) => {
    const frame = new Uint8Array(0.9 * MIB);
    frame[0] = number;
    outbox.add({ frame, isWanted: () => isWanted });
  };
  const read = () => {
    state.queued = 0;
    outbox.pump();
  };
  return { sent, state, outbox, request, read };
}

describe("the outbox", () => {
  it("puts a few on the link and the next ones when they are read", () => {
    const { sent, request, read } = linked();
    for (let number = 1; number <= 60; number++) request(number);
    expect(sent).toEqual([1, 2]);
    read();
    expect(sent).toEqual([1, 2, 3, 4]);
    for (let round = 0; round < 40; round++) read();
    expect(sent).toEqual(Array.from({ length: 60 }, (_, index) => index + 1));
  });

  it("leaves out what nobody waits for any more", () => {
    const { sent, request, read } = linked();
    for (const number of [1, 2]) request(number);
    request(3, false);
    request(4);
    read();
    expect(sent).toEqual([1, 2, 4]);
  });

  it("keeps nothing without a daemon, nor for the daemon before", () => {
    const { sent, state, outbox, request, read } = linked();
    state.queued = undefined;
    request(1);
    state.queued = 2 * MIB;
    request(2);
    outbox.clear();
    read();
    expect(sent).toEqual([]);
  });
});

/** Output on its way to the keeper: a guest's small pieces go on and are kept together, and none is lost over a lost link. */
import { describe, expect, it } from "vitest";
import { RelayedOutput } from "../../../src/host/keeper/relayed-output.ts";
import { type Frame, FrameType } from "../../../src/protocol/wire/frame.ts";
import { FrameDecoder } from "../../../src/protocol/wire/frame-decoder.ts";
import type { Peer, StreamHandler } from "../../../src/protocol/wire/peer.ts";

/** An output whose frames towards the keeper are recorded. */
function relayed() {
  const sent: Frame[] = [];
  let handler: StreamHandler = {};
  const decoder = new FrameDecoder(1 << 20);
  const peer: Pick<Peer, "openStream" | "closeStream" | "send"> = {
    openStream: (_, opened) => {
      handler = opened;
    },
    closeStream: () => undefined,
    send: (frame) =>
      decoder.push(frame, (each) => sent.push({ ...each, payload: new Uint8Array(each.payload) })),
  };
  const output = new RelayedOutput("stdout", 7, peer as Peer, () => undefined);
  const ack = (offset: number, window: number) => handler.acknowledged?.(offset, window);
  const cut = () => handler.detached?.();
  /** What the keeper has by now: bytes by their offsets. */
  const text = () => {
    let all = "";
    for (const { type, sequence, payload } of sent)
      if (type === FrameType.Data && sequence <= all.length)
        all = all.slice(0, sequence) + Buffer.from(payload).toString();
    return all;
  };
  return { output, sent, ack, cut, text };
}

/** Ends the present turn of the event loop. */
const turn = () => new Promise((resolve) => setImmediate(resolve));

describe("output on its way to the keeper", () => {
  it("goes on in one frame for all small pieces of a turn", async () => {
    const { output, sent, ack, text } = relayed();
    ack(0, 100_000);
    for (let at = 0; at < 3_000; at++) output.data(at, Buffer.from([97 + (at % 26)]));
    await turn();
    expect(sent).toHaveLength(1);
    expect(text()).toHaveLength(3_000);
  });

  it("keeps its order where small pieces stand before and after large ones, and before the end", async () => {
    const { output, sent, ack, text } = relayed();
    ack(0, 100_000);
    const pieces = ["a", "b", "C".repeat(5_000), "d", "e"];
    let at = 0;
    for (const piece of pieces) {
      output.data(at, Buffer.from(piece));
      at += piece.length;
    }
    output.end(at);
    await turn();
    expect(text()).toBe(pieces.join(""));
    expect(sent.at(-1)).toMatchObject({ type: FrameType.Eof, sequence: at });
  });

  it("is sent again from the keeper's position, in few frames however small the pieces were", async () => {
    const { output, sent, ack, cut } = relayed();
    ack(0, 100_000);
    const whole = Array.from({ length: 2_000 }, (_, index) => String.fromCharCode(97 + (index % 26))).join(
      "",
    );
    for (let at = 0; at < whole.length; at++) {
      output.data(at, Buffer.from(whole[at] ?? ""));
      await turn();
    }
    expect(sent).toHaveLength(2_000);
    output.end(whole.length);
    cut();
    sent.length = 0;
    ack(1_500, 100_000);
    expect(sent.length).toBeLessThan(80);
    expect(sent[0]?.sequence).toBeLessThanOrEqual(1_500);
    expect(sent.at(-1)).toMatchObject({ type: FrameType.Eof, sequence: 2_000 });
    const first = sent[0]?.sequence ?? 0;
    const again = sent
      .filter(({ type }) => type === FrameType.Data)
      .map(({ payload }) => Buffer.from(payload));
    expect(Buffer.concat(again).toString()).toBe(whole.slice(first));
  });
});

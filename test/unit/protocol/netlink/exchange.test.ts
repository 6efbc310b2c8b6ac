import { describe, expect, it } from "vitest";
import {
  encodeMessage,
  NetlinkExchange,
  type NetlinkSocket,
} from "../../../../src/protocol/netlink/exchange.ts";
import { deleteLink, getLinks } from "../../../../src/protocol/netlink/links.ts";
import { messagesOf, type NetlinkMessage } from "../../../../src/protocol/netlink/reader.ts";
import { BodyWriter } from "../../../../src/protocol/netlink/writer.ts";

const ERROR = 2;
const DONE = 3;
const MULTI = 0x2;
const INTERRUPTED = 0x10;
const CAPPED_WITH_ATTRIBUTES = 0x300;

/** A kernel that answers each message in the given way; an answer is a datagram. */
class Kernel implements NetlinkSocket {
  readonly asked: NetlinkMessage[] = [];
  private readonly answers: Uint8Array[] = [];

  constructor(private readonly answer: (message: NetlinkMessage) => Uint8Array[]) {}

  send(bytes: Uint8Array): void {
    for (const message of messagesOf(bytes)) {
      this.asked.push(message);
      this.answers.push(...this.answer(message));
    }
  }

  receive(): Uint8Array {
    const answer = this.answers.shift();
    if (answer === undefined) throw new Error("the kernel would wait for ever");
    return answer;
  }
}

function message(type: number, flags: number, sequence: number, body: BodyWriter): Uint8Array {
  return encodeMessage({ type, flags, body: body.finish() }, flags, sequence);
}

function acknowledged(sequence: number, errno = 0, text?: string): Uint8Array {
  const body = new BodyWriter().u32(-errno).zeros(16);
  if (text !== undefined) body.attributeText(1, text);
  return message(ERROR, text === undefined ? 0 : CAPPED_WITH_ATTRIBUTES, sequence, body);
}

function link(sequence: number, name: string, flags = MULTI): Uint8Array {
  return message(16, flags, sequence, new BodyWriter().zeros(16).attributeText(3, name));
}

const done = (sequence: number, errno = 0) => message(DONE, MULTI, sequence, new BodyWriter().u32(-errno));

describe("a conversation with the kernel", () => {
  it("says for each request what the kernel said, in its words", () => {
    const kernel = new Kernel(({ sequence }) =>
      sequence === 2 ? [acknowledged(sequence, 16, "device is busy")] : [acknowledged(sequence)],
    );
    const answers = new NetlinkExchange(kernel).askAll([deleteLink(1), deleteLink(2), deleteLink(3)]);
    expect(answers).toEqual([
      { errno: 0, text: undefined },
      { errno: 16, text: "device is busy" },
      { errno: 0, text: undefined },
    ]);
    expect(kernel.asked.every(({ flags }) => (flags & 0x5) === 0x5)).toBe(true);
  });

  it("hears only of failures where that is enough", () => {
    const kernel = new Kernel(({ sequence, flags }) => {
      const errno = sequence % 20 === 3 ? 17 : 0;
      return errno !== 0 || (flags & 0x4) !== 0 ? [acknowledged(sequence, errno)] : [];
    });
    const exchange = new NetlinkExchange(kernel);
    const requests = Array.from({ length: 43 }, (_, index) => deleteLink(index + 1));
    const failure = { errno: 17, text: undefined };
    const expected = new Map([2, 22, 42].map((place) => [place, failure]));
    expect(exchange.failuresOf(requests)).toEqual(expected);
    expect(kernel.asked.filter(({ flags }) => (flags & 0x4) !== 0)).toHaveLength(2);
    expect(exchange.failuresOf([])).toEqual(new Map());
  });

  it("asks for a thousand things in parts whose answers fit into a socket", () => {
    let pending = 0;
    let most = 0;
    const kernel = new Kernel(({ sequence }) => {
      most = Math.max(most, ++pending);
      return [acknowledged(sequence)];
    });
    const receive = kernel.receive.bind(kernel);
    kernel.receive = () => {
      pending--;
      return receive();
    };
    const answers = new NetlinkExchange(kernel).askAll(
      Array.from({ length: 1000 }, (_, index) => deleteLink(index)),
    );
    expect(answers).toHaveLength(1000);
    expect(most).toBeLessThan(100);
  });

  it("skips answers to what was asked before", () => {
    const kernel = new Kernel(({ sequence }) => [acknowledged(sequence - 1, 5), acknowledged(sequence)]);
    expect(new NetlinkExchange(kernel).ask(deleteLink(1)).errno).toBe(0);
  });

  it("waits for a request that takes long without holding the thread", async () => {
    const kernel = new Kernel(({ sequence }) => [acknowledged(sequence, 16, "device is busy")]);
    let done = () => {};
    const sending = new Promise<void>((resolve) => {
      done = resolve;
    });
    const answer = new NetlinkExchange(kernel).askLater(deleteLink(1), async (bytes) => {
      await sending;
      kernel.send(bytes);
    });
    expect(kernel.asked).toHaveLength(0);
    done();
    expect(await answer).toEqual({ errno: 16, text: "device is busy" });
  });

  it("gives one object, or what the kernel says instead", () => {
    const kernel = new Kernel(({ sequence }) =>
      sequence === 1 ? [link(sequence, "eth0", 0), acknowledged(sequence)] : [acknowledged(sequence, 19)],
    );
    const exchange = new NetlinkExchange(kernel);
    expect(exchange.get(getLinks())).toMatchObject({ answer: { errno: 0 }, message: { type: 16 } });
    expect(exchange.get(getLinks())).toEqual({ answer: { errno: 19, text: undefined }, message: undefined });
  });

  it("collects a dump from several datagrams", () => {
    const kernel = new Kernel(({ sequence }) => [link(sequence, "a"), link(sequence, "b"), done(sequence)]);
    expect(new NetlinkExchange(kernel).dump(getLinks())).toHaveLength(2);
  });

  it("repeats a dump that a change came into, and gives up if that goes on", () => {
    let times = 0;
    const twice = new Kernel(({ sequence }) => [
      link(sequence, "a", times++ < 2 ? INTERRUPTED : MULTI),
      done(sequence),
    ]);
    expect(new NetlinkExchange(twice).dump(getLinks())).toHaveLength(1);
    expect(twice.asked).toHaveLength(3);
    const always = new Kernel(({ sequence }) => [link(sequence, "a", INTERRUPTED), done(sequence)]);
    expect(() => new NetlinkExchange(always).dump(getLinks())).toThrow(/changed/);
  });

  it("fails with a dump that the kernel refuses or breaks off", () => {
    const refused = new Kernel(({ sequence }) => [acknowledged(sequence, 95, "not supported")]);
    expect(() => new NetlinkExchange(refused).dump(getLinks())).toThrow(/not supported/);
    const broken = new Kernel(({ sequence }) => [link(sequence, "a"), done(sequence, 12)]);
    expect(() => new NetlinkExchange(broken).dump(getLinks())).toThrow(/errno 12/);
  });

  it("does not keep more than a network can have", () => {
    const kernel = new Kernel(({ sequence }) => Array.from({ length: 70_000 }, () => link(sequence, "a")));
    expect(() => new NetlinkExchange(kernel).dump(getLinks())).toThrow(/more than/);
  });
});

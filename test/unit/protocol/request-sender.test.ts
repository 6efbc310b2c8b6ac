import { describe, expect, test } from "vitest";
import { RequestSender } from "../../../src/protocol/wire/request-parts.ts";

const frames = (...names: string[]) => names.map((name) => new TextEncoder().encode(name));

/** A link that takes so many frames, and says so with the last of them. */
function link() {
  const sent: string[] = [];
  let room = 1;
  const sender = new RequestSender((frame) => {
    sent.push(new TextDecoder().decode(frame));
    return --room > 0 ? undefined : "wait";
  });
  const drain = (frames: number): void => {
    room = frames;
    sender.drained();
  };
  const renew = (): void => {
    room = 100;
    sender.reset();
  };
  return { sender, sent, drain, renew };
}

describe("requests to a link that is slow", () => {
  test("wait for it, in their order, and are never mixed", () => {
    const { sender, sent, drain } = link();
    sender.add(1, frames("1a", "1b", "1c"), false);
    sender.add(2, frames("2a", "2b"), false);
    sender.add(3, frames("3"), false);
    expect(sent).toEqual(["1a"]);
    drain(1);
    expect(sent).toEqual(["1a", "1b"]);
    drain(100);
    expect(sent).toEqual(["1a", "1b", "1c", "2a", "2b", "3"]);
    sender.add(4, frames("4"), false);
    expect(sent.at(-1)).toBe("4");
  });

  test("let urgent ones go ahead, but not into the middle of one that is begun", () => {
    const { sender, sent, drain } = link();
    sender.add(1, frames("1a", "1b"), false);
    sender.add(2, frames("2"), false);
    sender.add(3, frames("3"), true);
    sender.add(4, frames("4"), true);
    drain(100);
    expect(sent).toEqual(["1a", "1b", "3", "4", "2"]);
  });

  test("that nobody waits for are not sent, unless they are begun", () => {
    const { sender, sent, drain } = link();
    sender.add(1, frames("1a", "1b"), false);
    sender.add(2, frames("2a", "2b"), false);
    sender.withdraw(1);
    sender.withdraw(2);
    drain(100);
    expect(sent).toEqual(["1a", "1b"]);
  });

  test("are whole, also if all of them are sent again on the same link", () => {
    const { sender, sent, drain } = link();
    sender.add(1, frames("1a", "1b"), false);
    sender.add(2, frames("2"), false);
    sender.forgetWaiting();
    sender.add(1, frames("1a", "1b"), false);
    sender.add(2, frames("2"), false);
    drain(100);
    expect(sent).toEqual(["1a", "1b", "1a", "1b", "2"]);
  });

  test("do not wait for a link that says nothing of being drained, such as a socket", () => {
    const sent: unknown[] = [];
    const sender = new RequestSender((frame) => sent.push(frame) < 0);
    for (const id of [1, 2, 3]) sender.add(id, frames("a", "b"), false);
    expect(sent).toHaveLength(6);
  });

  test("begin anew with the next link", () => {
    const { sender, sent, renew } = link();
    sender.add(1, frames("1a", "1b"), false);
    sender.add(2, frames("2"), false);
    renew();
    sender.add(1, frames("1a", "1b"), false);
    expect(sent).toEqual(["1a", "1a", "1b"]);
  });
});

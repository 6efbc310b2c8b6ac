/** A guest's link whose host dies at any byte, and what the next host finds on it. */
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { nodeText } from "../../../src/lib/text.ts";
import { encodeFrame, FrameType } from "../../../src/protocol/wire/frame.ts";
import { HelloSearch } from "../../../src/protocol/wire/hello-search.ts";
import { type Death, forgedHello, TwoHosts } from "../../support/two-hosts.ts";

type Step =
  | { readonly do: "write" | "type" | "toGuest" | "toHost"; readonly count: number }
  | { readonly do: "ask" | "emit" | "settle" }
  | { readonly do: "kill"; readonly death: Death };

const count = fc.integer({ min: 1, max: 400 });
const some = (name: "write" | "type" | "toGuest" | "toHost") =>
  count.map((count): Step => ({ do: name, count }));
const death = fc.record({
  reach: fc.integer({ min: 0, max: 600 }),
  lost: fc.integer({ min: 0, max: 600 }),
  seen: fc.boolean(),
});
const steps = fc.array(
  fc.oneof(
    some("write"),
    some("type"),
    some("toGuest"),
    some("toHost"),
    fc.constantFrom<Step>({ do: "ask" }, { do: "emit" }, { do: "settle" }),
    death.map((death): Step => ({ do: "kill", death })),
  ),
  { maxLength: 60 },
);

function play(link: TwoHosts, step: Step): void {
  switch (step.do) {
    case "write":
      return link.write(step.count);
    case "type":
      return link.type(step.count);
    case "toGuest":
      return link.deliverToGuest(step.count);
    case "toHost":
      return link.deliverToHost(step.count);
    case "ask":
      return void link.host.peer.request("early", {}).result.catch(() => undefined);
    case "emit":
      return link.guest.emit("happened", {});
    case "settle":
      return link.settle();
    case "kill":
      return link.kill(step.death);
  }
}

describe("a guest whose hosts die one after the other", () => {
  it("neither loses nor doubles a byte, whatever instant they die at", async () => {
    await fc.assert(
      fc.asyncProperty(steps, death, async (before, last) => {
        const link = new TwoHosts();
        for (const step of before) play(link, step);
        link.write(1000);
        link.kill(last);
        link.type(50);
        link.endOutput();
        const asked = link.host.peer.request("late", {});
        for (let turn = 0; turn < 3; turn++) {
          link.settle();
          await new Promise((resolve) => setImmediate(resolve));
        }
        expect(link.guestViolations).toEqual([]);
        expect(link.host.violations).toEqual([]);
        expect(link.keeper.output).toEqual(link.expectedOutput());
        expect(link.keeper.outputEnded).toBe(true);
        expect(link.input).toEqual(link.expectedInput());
        expect(await asked.result).toBe("late");
      }),
      { numRuns: 150 },
    );
  });

  it("tells the next host what nobody has handled", () => {
    const link = new TwoHosts();
    link.settle();
    link.guest.emit("lost with its host", {});
    link.kill({ reach: 0, lost: 0, seen: false });
    link.settle();
    expect(link.host.events).toEqual(["lost with its host"]);
  });
});

describe("the search for the hello that answers", () => {
  const answer = forgedHello("guest", "mine");
  const cut = (bytes: Uint8Array, at: number[]) => {
    const places = [...new Set(at.map((each) => each % (bytes.length + 1)))].sort((a, b) => a - b);
    return [0, ...places].map((from, index) => bytes.subarray(from, places[index] ?? bytes.length));
  };

  it("finds it behind anything, in pieces of any size", () => {
    const rest = encodeFrame(FrameType.Data, 3, 7, Uint8Array.of(1, 2, 3));
    const junk = fc.oneof(
      fc.uint8Array({ maxLength: 300 }),
      fc.constantFrom(
        forgedHello("dead", "theirs"),
        forgedHello("dead", ""),
        // half a hello that promises more bytes than will ever come
        forgedHello("a container", "x".repeat(5000)).subarray(0, 40),
        encodeFrame(FrameType.Data, 1, 0, new Uint8Array(600)).subarray(300),
      ),
    );
    fc.assert(
      fc.property(
        fc.array(junk, { minLength: 1, maxLength: 5 }),
        fc.array(fc.nat(), { maxLength: 8 }),
        (before, at) => {
          const search = new HelloSearch(nodeText, "mine", () => undefined);
          const stream = Buffer.concat([...before, answer, rest]);
          const found: Uint8Array[] = [];
          let searching = true;
          for (const piece of cut(stream, at)) {
            const bytes = searching ? search.push(piece) : piece;
            if (bytes === undefined) continue;
            searching = false;
            found.push(bytes.slice());
          }
          expect(Buffer.concat(found)).toEqual(Buffer.concat([answer, rest]));
        },
      ),
    );
  });

  it("takes a hello that answers nobody from an older release, at the beginning only", () => {
    const older = forgedHello("older");
    const search = () => new HelloSearch(nodeText, "mine", () => undefined);
    expect(search().push(older)).toEqual(older);
    expect(search().push(Buffer.concat([Uint8Array.of(9), older]))).toBeUndefined();
  });

  it("ends beyond its bound", () => {
    const search = new HelloSearch(nodeText, "mine", () => undefined);
    const flood = () => {
      for (let count = 0; count < 10; count++) search.push(new Uint8Array(8 * 1024 * 1024));
    };
    expect(flood).toThrow(expect.objectContaining({ code: "FrameUnexpected" }));
  });
});

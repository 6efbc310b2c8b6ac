import { describe, expect, it } from "vitest";
import { readHandlerArguments } from "../../../setup/lib/handler-arguments.ts";
import { newEnough } from "../../../setup/tools/go.ts";

describe("the arguments of test:critest and test:workloads", () => {
  const read = (...args: string[]) => readHandlerArguments("test:critest", args);

  it("are both handlers and every case without any", () => {
    expect(read()).toEqual({ help: false, handlers: ["runc", "blazar"], only: "" });
  });

  it("are one handler, and a text of one or more words", () => {
    expect(read("--handler", "blazar", "port", "mapping")).toMatchObject({
      handlers: ["blazar"],
      only: "port mapping",
    });
    expect(read("--help")).toMatchObject({ help: true });
  });

  it("are refused by name", () => {
    expect(() => read("--handler", "kata")).toThrow(/--handler kata.*runc, blazar.*test:critest -- --help/s);
    expect(() => read("--handlers")).toThrow(/--handlers/);
  });
});

describe("a Go toolchain", () => {
  it("is new enough from 1.21 on, which gets newer ones by itself", () => {
    const said = (version: string) => newEnough(`go version go${version} linux/amd64`);
    expect(["1.21.0", "1.26.8", "2.0"].map(said)).toEqual([true, true, true]);
    expect(["1.19.8", "1.20"].map(said)).toEqual([false, false]);
    expect(newEnough("command not found")).toBe(false);
  });
});

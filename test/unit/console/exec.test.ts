import { EventEmitter } from "node:events";
import { PassThrough } from "node:stream";
import { describe, expect, it } from "vitest";
import { exec, type Streams } from "../../../src/console/exec/exec.ts";
import type { InspectionClient } from "../../../src/rpc/inspection/client.ts";

/** A daemon's end of the call. */
class Call extends EventEmitter {
  readonly sent: object[] = [];
  cancelled = false;

  write(message: object): boolean {
    this.sent.push(message);
    return true;
  }

  cancel(): void {
    this.cancelled = true;
  }
}

function terminal() {
  const call = new Call();
  const stdin = Object.assign(new PassThrough(), {
    ...{ isTTY: true, raw: false },
    setRawMode(raw: boolean) {
      this.raw = raw;
      return this;
    },
  });
  const stdout = Object.assign(new PassThrough(), { isTTY: true, rows: 24, columns: 80 });
  const streams = { stdin, stdout, stderr: new PassThrough() } as unknown as Streams;
  const daemon = { exec: () => call, errorOf: (error: unknown) => error } as unknown as InspectionClient;
  const view = { id: "s1", command: [], interactive: true, terminal: true };
  const ended = exec(daemon, view, streams);
  ended.catch(() => undefined);
  const type = async (text: string) => {
    stdin.write(text);
    await new Promise((resolve) => setImmediate(resolve));
  };
  const say = (text: string) => call.emit("data", { stdout: Buffer.from(text) });
  return { call, stdin, ended, type, say };
}

const CTRL_C = "\u0003";

describe("a shell in a guest", () => {
  it("is left by Ctrl-C three times where the guest does not answer, and the terminal is as before", async () => {
    const { call, stdin, ended, type } = terminal();
    expect(stdin.raw).toBe(true);
    await type(CTRL_C);
    await type(CTRL_C);
    expect(call.cancelled).toBe(false);
    await type(CTRL_C);
    await expect(ended).rejects.toThrow(/nothing from the guest; blazar why/);
    expect(call.cancelled).toBe(true);
    expect(stdin.raw).toBe(false);
  });

  it("is not left where the guest answers, or where other keys come between", async () => {
    const { call, ended, type, say } = terminal();
    for (let time = 0; time < 5; time++) {
      await type(CTRL_C);
      say("^C");
    }
    for (let time = 0; time < 5; time++) await type(`${CTRL_C}x`);
    expect(call.cancelled).toBe(false);
    call.emit("data", { status: 3 });
    call.emit("end");
    expect(await ended).toBe(3);
  });
});

/** How a process has ended, for containerd and for people. */
import { constants } from "node:os";
import { expect, test } from "vitest";
import { endOf, SIGINT, SIGKILL, SIGPIPE, SIGTERM, signalStatus } from "../../../src/lib/signals.ts";

test("the numbers are those of this host", () => {
  expect({ SIGINT, SIGKILL, SIGPIPE, SIGTERM }).toEqual({
    SIGINT: constants.signals.SIGINT,
    SIGKILL: constants.signals.SIGKILL,
    SIGPIPE: constants.signals.SIGPIPE,
    SIGTERM: constants.signals.SIGTERM,
  });
});

test("a signal is a status above 128, as a shell reports it", () => {
  expect(signalStatus(SIGKILL)).toBe(137);
  expect(signalStatus(SIGTERM)).toBe(143);
});

test("the end of a process in words is its signal, or else its status", () => {
  expect(endOf({ code: 0, signal: SIGKILL })).toBe("signal 9");
  expect(endOf({ code: 3, signal: 0 })).toBe("status 3");
  expect(endOf({ code: 0, signal: 0 })).toBe("status 0");
});

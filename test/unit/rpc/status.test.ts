import { status } from "@grpc/grpc-js";
import { describe, expect, it } from "vitest";
import { BlazarError, blazarError, ERROR_KINDS, type ErrorCode } from "../../../src/contracts/errors.ts";
import {
  fromStatus,
  kindOfStatus,
  STATUS_OF_KIND,
  toServiceError,
  toTtrpcStatus,
} from "../../../src/rpc/status.ts";

const codes = Object.keys(ERROR_KINDS) as ErrorCode[];

function errorOf(code: ErrorCode): BlazarError {
  return blazarError(code, "do it", "it broke", { subject: "x", remedy: "mend it" });
}

describe("the status mapping", () => {
  it.each(codes)("gives %s a status that is not OK, the same on both wires", (code) => {
    const grpc = toServiceError(errorOf(code));
    const ttrpc = toTtrpcStatus(errorOf(code));
    expect(grpc.code).toBeGreaterThan(0);
    expect(grpc.code).not.toBe(status.UNKNOWN);
    expect(ttrpc.code).toBe(grpc.code);
    expect(ttrpc.message).toBe("cannot do it (x): it broke; mend it");
  });

  it("gives every kind a status of its own, and finds the way back", () => {
    const statuses = Object.values(STATUS_OF_KIND);
    expect(new Set(statuses).size).toBe(statuses.length);
    for (const [kind, code] of Object.entries(STATUS_OF_KIND)) expect(kindOfStatus(code)).toBe(kind);
  });

  it("knows every kind that the error table uses", () => {
    for (const kind of Object.values(ERROR_KINDS)) expect(STATUS_OF_KIND[kind]).toBeDefined();
  });

  it("takes every wire code, the ones we never send too", () => {
    for (let code = 1; code <= 16; code++) {
      expect(fromStatus(code, "no", "ask", undefined)).toBeInstanceOf(BlazarError);
    }
    expect(fromStatus(status.NOT_FOUND, "no such pod", "ask").kind).toBe("notFound");
    expect(fromStatus(99, "what", "ask").kind).toBe("internal");
  });

  it("reports a stranger's error as internal, with its message", () => {
    expect(toTtrpcStatus(new TypeError("x is undefined"))).toEqual({
      code: status.INTERNAL,
      message: "internal error: x is undefined",
      details: [],
    });
    expect(toServiceError("thrown text").code).toBe(status.INTERNAL);
  });

  it("reports an abort as cancelled", () => {
    const controller = new AbortController();
    controller.abort();
    expect(toServiceError(controller.signal.reason).code).toBe(status.CANCELLED);
  });

  it("leaves out the middle of a message that no header could carry", () => {
    const error = blazarError("SandboxNotFound", "look", "none", {
      subject: "\u540d".repeat(100_000),
      remedy: "mend it",
    });
    const { details } = toServiceError(error);
    // gRPC percent-encodes it, and HTTP/2's peers take 64 KiB of headers
    expect(encodeURI(details).length).toBeLessThan(40 * 1024);
    expect(details).toMatch(/^cannot look .* characters\) .*; mend it$/s);
    expect(toTtrpcStatus(error).message).toBe(details);
  });

  it("sends no half of a surrogate pair, which cannot be encoded", () => {
    expect(encodeURI(toServiceError(new Error("a\ud800b")).details)).toContain("a%5Cud800b");
    expect(() => encodeURI(toServiceError(new Error("\u{1f600}".repeat(9_000))).details)).not.toThrow();
    expect(() => encodeURI(toServiceError(new Error(`x${"\u{1f600}".repeat(9_000)}`)).details)).not.toThrow();
  });

  it("sends nothing that a terminal would obey, whoever's words the error repeats", () => {
    const words = "\u001b]0;owned\u0007\u001b[2J\r\u009b2J\u202egnp.exe\u0000";
    const error = blazarError("GuestFailed", "run a command", words, {
      subject: words,
      remedy: "look\nagain",
    });
    for (const text of [toServiceError(error).details, toTtrpcStatus(error).message]) {
      expect(text).not.toMatch(/[^\P{C}\n]/u);
      expect(text).toContain("\\x1b]0;owned\\x07\\x1b[2J\\r\\x9b2J\\u202egnp.exe\\x00");
      expect(text).toContain("look\nagain");
    }
  });
});

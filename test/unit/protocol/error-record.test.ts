/** Errors as records between processes: nothing that the writer says may surprise the reader. */
import { describe, expect, it } from "vitest";
import { blazarError } from "../../../src/contracts/errors.ts";
import { errorFromRecord, errorToRecord } from "../../../src/protocol/wire/error-record.ts";

const FALLBACK = { code: "GuestFailed", operation: "answer a request" } as const;

describe("an error's record", () => {
  it("brings code, operation, subject, reason and remedy to the other side", () => {
    const error = blazarError("MountFailed", "mount a disk", "no such device", {
      subject: "/dev/sda",
      remedy: "plug it in",
    });
    const copy = errorFromRecord(JSON.parse(JSON.stringify(errorToRecord(error, FALLBACK))), FALLBACK);
    expect(copy.code).toBe(error.code);
    expect(copy.message).toBe(error.message);
  });

  it("has the caller's code and operation for whatever else was thrown", () => {
    const thrown: unknown[] = [new RangeError("too large"), "too large"];
    for (const each of thrown) {
      expect(errorToRecord(each, FALLBACK)).toMatchObject({ ...FALLBACK, reason: "too large" });
    }
  });

  it("is cut to what the report has room for", () => {
    const error = blazarError("Internal", "x".repeat(600), "y".repeat(600), { subject: "z".repeat(600) });
    const texts = Object.values(errorToRecord(error, FALLBACK, 256));
    expect(texts.every((text) => text === undefined || text.length <= 256)).toBe(true);
  });

  it.each([undefined, null, "text", 7, [], {}, { code: 1, reason: {} }])("may be %j", (record) => {
    expect(errorFromRecord(record, FALLBACK)).toMatchObject({
      code: "GuestFailed",
      details: { operation: "answer a request", reason: "no reason was given" },
    });
  });

  it.each(["constructor", "__proto__", "toString", "NoSuchCode"])("cannot make %s a code", (code) => {
    expect(errorFromRecord({ code, reason: "r" }, FALLBACK).code).toBe("GuestFailed");
  });
});

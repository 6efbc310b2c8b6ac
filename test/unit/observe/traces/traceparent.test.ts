/** W3C Trace Context: what is well-formed is read, anything else is as if it were not there. */
import { expect, it } from "vitest";
import { parseTraceparent } from "../../../../src/observe/traces/traceparent.ts";

const [TRACE, SPAN] = ["0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"];

it("reads ids and flags", () => {
  expect(parseTraceparent(`00-${TRACE}-${SPAN}-01`)).toEqual({ traceId: TRACE, spanId: SPAN, flags: 1 });
  expect(parseTraceparent(`01-${TRACE}-${SPAN}-00-more`)).toEqual({ traceId: TRACE, spanId: SPAN, flags: 0 });
});

it.each([
  undefined,
  "",
  `00-${TRACE}-${SPAN}-01-more`,
  `ff-${TRACE}-${SPAN}-01`,
  `00-${"0".repeat(32)}-${SPAN}-01`,
  `00-${TRACE}-${"0".repeat(16)}-01`,
  `00-${TRACE.toUpperCase()}-${SPAN}-01`,
  `00-${TRACE}-${SPAN}-01\n`,
  `01-${TRACE}-${SPAN}-01-${"x".repeat(1_000_000)}`,
])("does not take %j", (text) => {
  expect(parseTraceparent(text?.slice(0, 400))).toBeUndefined();
});

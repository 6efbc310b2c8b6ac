/** What needs the histories is refused by its key where there are none. */
import { expect, it } from "vitest";
import { parseConfig } from "../../../src/daemon/config/load.ts";
import { refuseObserving } from "../../../src/daemon/observing/observing.ts";

it.each([
  ['[metrics]\nlisten = "127.0.0.1:9477"', "metrics.listen"],
  ['[traces]\nendpoint = "http://127.0.0.1:4318"', "traces.endpoint"],
])("%j is refused where inspection is off", (text, key) => {
  expect(() => refuseObserving(parseConfig(text, "f"))).toThrow(
    expect.objectContaining({ code: "InvalidConfig", message: expect.stringContaining(key) }),
  );
});

it("a daemon that asks for neither needs no inspection", () => {
  expect(() => refuseObserving(parseConfig("", "f"))).not.toThrow();
});

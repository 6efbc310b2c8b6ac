/** Which containerd `npm run test:containerd -- --version` means. */
import { describe, expect, it } from "vitest";
import { newestOf, readVersion } from "../../../setup/tools/containerd-versions.ts";

describe("a version of containerd", () => {
  it.each([
    ["2.3", { version: "2.3", isExact: false }],
    ["v2.3.4", { version: "2.3.4", isExact: true }],
    ["2.4.0-rc.1", { version: "2.4.0-rc.1", isExact: true }],
  ])("%s is read", (text, read) => {
    expect(readVersion(text)).toEqual(read);
  });

  it.each(["", "2", "1.7", "3.0", "2.3.", "2.3.x", "latest", "2.3.4/../.."])("%j is refused", (text) => {
    expect(() => readVersion(text)).toThrow(/it is none that can be built/);
  });

  it("of a line is its newest release: by number, not by letter, and no pre-release", () => {
    const known = ["v2.2.9", "v2.3.4", "v2.3.10", "v2.3.9", "v2.3.11-rc.0", "v2.30.1"];
    expect(newestOf("2.3", known)).toBe("2.3.10");
    expect(newestOf("2.3", ["2.3.4"])).toBe("2.3.4");
    expect(newestOf("2.5", known)).toBeUndefined();
  });
});

import { describe, expect, it } from "vitest";
import { previousBuild } from "../../../setup/tools/previous-build.ts";

const SILENT = {
  line: () => undefined,
  during: <T>(_name: string, _why: string, body: () => Promise<T>) => body(),
};

describe("an earlier build that cannot be had", () => {
  it.each([
    ["no-such-commit", "no such commit is there"],
    ["--upload-pack=x", "no such commit is there"],
  ])("is told by the commit's name, with what to do: %s", async (name, reason) => {
    await expect(previousBuild(name, SILENT)).rejects.toMatchObject({
      code: "DependencyMissing",
      details: { subject: expect.stringContaining(name), reason, remedy: expect.stringContaining("--from") },
    });
  });

  it("is told by git's name, if there is no git", async () => {
    const path = process.env["PATH"];
    process.env["PATH"] = "/nowhere";
    try {
      await expect(previousBuild("HEAD", SILENT)).rejects.toMatchObject({
        details: { reason: "git cannot be run", remedy: "install git" },
      });
    } finally {
      process.env["PATH"] = path;
    }
  });
});

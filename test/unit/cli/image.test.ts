/** What `blazar image prepare` takes. */
import { resolve } from "node:path";
import { expect, it } from "vitest";
import { imageSource } from "../../../src/cli/image.ts";

it("takes directories by their paths, and an OCI image by its name, alone", () => {
  expect(imageSource(["/layers/2", "./1", ".."])).toEqual({
    layers: ["/layers/2", resolve("1"), resolve("..")],
  });
  const reference = "docker.io/library/busybox:latest";
  expect(imageSource([reference])).toEqual({ reference });
  for (const words of [
    [reference, "/layers/1"],
    [reference, reference],
  ])
    expect(() => imageSource(words)).toThrow(/begin with \//);
});

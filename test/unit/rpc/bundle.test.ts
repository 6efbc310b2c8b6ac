import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { readBundle } from "../../../src/rpc/task/bundle.ts";
import { temporaryDirectory } from "../../support/temporary-directory.ts";

async function bundleWith(config: string): Promise<string> {
  const directory = await temporaryDirectory();
  writeFileSync(join(directory, "config.json"), config);
  return directory;
}

describe("a task's bundle", () => {
  test("keeps all digits of a seccomp profile's operands, and no others", async () => {
    const config = String.raw`{"hostname":"a\"12345678901234567890\\","linux":{"resources":{"memory":{"limit":9223372036854771712}},
      "seccomp":{"defaultAction":"SCMP_ACT_ALLOW","syscalls":[{"names":["18446744073709551615 "],"args":[{"value":18446744073709551615,"valueTwo":9007199254740991},{"value":7}]}]}}}`;
    expect(readBundle(await bundleWith(config)).spec).toEqual({
      hostname: 'a"12345678901234567890\\',
      linux: {
        resources: { memory: { limit: Number("9223372036854771712") } },
        seccomp: {
          defaultAction: "SCMP_ACT_ALLOW",
          syscalls: [
            {
              names: ["18446744073709551615 "],
              args: [{ value: "18446744073709551615", valueTwo: 2 ** 53 - 1 }, { value: 7 }],
            },
          ],
        },
      },
    });
  });

  test.each(["null", "7", '{"linux":null}', '{"linux":{"seccomp":null}}'])(
    "is read whatever it is: %s",
    async (text) => {
      expect(readBundle(await bundleWith(text)).spec).toEqual(JSON.parse(text));
    },
  );

  test("that is no JSON is refused by its file", async () => {
    const bundle = await bundleWith("{");
    expect(() => readBundle(bundle)).toThrow("config.json");
  });
});

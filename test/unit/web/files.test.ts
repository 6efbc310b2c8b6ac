/** Files that are dropped onto the page: archives, and JSON of a stranger. */
import { fc, test } from "@fast-check/vitest";
import { expect } from "vitest";
import { detailsIn } from "../../../web/model/checked.ts";
import { EventReader } from "../../../web/model/events.ts";
import { LogLines } from "../../../web/model/log-lines.ts";
import { isTar, readTar } from "../../../web/model/tar.ts";
import { sandboxesOf } from "../../../web/replay/read-file.ts";
import { FakeInspection } from "../../support/fake-inspection/inspection.ts";

function header(name: string, size: number, type = "0", prefix = ""): Uint8Array {
  const block = new Uint8Array(512);
  const put = (text: string, at: number): void => block.set(new TextEncoder().encode(text), at);
  put(name, 0);
  put(`${size.toString(8).padStart(11, "0")}\0`, 124);
  put(type, 156);
  put("ustar\u000000", 257);
  put(prefix, 345);
  return block;
}

function archive(...files: readonly (readonly [Uint8Array, string])[]): Uint8Array {
  const pieces = files.flatMap(([head, text]) => {
    const body = new Uint8Array(Math.ceil(text.length / 512) * 512);
    body.set(new TextEncoder().encode(text));
    return [head, body];
  });
  return Buffer.concat([...pieces, new Uint8Array(1024)]);
}

test("files of an archive are read by their names, also long ones", () => {
  const long = `${"d/".repeat(80)}journal`;
  const bytes = archive(
    [header("a.json", 2), "{}"],
    [header("dir/", 0, "5"), ""],
    [header("b", 3, "0", "some/where"), "abc"],
    [header("././@LongLink", long.length + 1, "L"), `${long}\0`],
    [header("cut", 1), "x"],
    [header("pax", 20, "x"), "20 path=named.json\n\n"],
    [header("short", 1), "y"],
  );
  expect(isTar(bytes)).toBe(true);
  expect(readTar(bytes).map(({ name, bytes: body }) => [name, Buffer.from(body).toString()])).toEqual([
    ["a.json", "{}"],
    ["some/where/b", "abc"],
    [long, "x"],
    ["named.json", "y"],
  ]);
});

test("an archive that is cut off, or lies about a size, is refused", () => {
  expect(() => readTar(header("a", 5_000))).toThrow("cut off");
  const lies = header("a", 0);
  lies.set(new TextEncoder().encode("zzzzzzzzzzz\0"), 124);
  expect(() => readTar(lies)).toThrow("without a size");
});

test.prop([fc.uint8Array({ maxLength: 2_000 })])("no bytes hold the reader up", (bytes) => {
  try {
    for (const { bytes: body } of readTar(bytes)) expect(body.length).toBeLessThanOrEqual(bytes.length);
  } catch (error) {
    expect((error as Error).message).toContain("the archive");
  }
});

test("a detail that was written down is read as it was", async () => {
  const fake = new FakeInspection();
  const id = fake.startPod({ name: "web", namespace: "shop", path: "fork", containers: 2, diesAfter: 500 });
  fake.advance(30_000);
  const detail = await fake.get(id);
  expect(detailsIn(JSON.parse(JSON.stringify(detail)))).toEqual([detail]);
  expect(detailsIn([detail, detail])).toHaveLength(2);
});

test.prop([fc.jsonValue()])(
  "any JSON in the place of each part gives a detail that the page can show",
  (value) => {
    for (const part of ["history", "charts", "deadlines", "resources", "info", "why", "forgotten"]) {
      const found = detailsIn({ summary: { id: "x", pod: value }, history: [], [part]: value });
      for (const { summary, history } of found) {
        expect(typeof summary.pod.name).toBe("string");
        expect(history.every(({ at }) => Number.isFinite(at))).toBe(true);
      }
    }
    expect(detailsIn(value)).toEqual([]);
  },
);

test("a file with more sandboxes than a bundle holds is refused, and logs are read once", async () => {
  const one = JSON.stringify({ summary: { id: "a", pod: {} }, history: [] });
  const bundle = archive(
    [header("x/a.json", one.length), one],
    [header("x/b.json", one.length), one],
    [header("x/logs/vmm.log", 3), "hey"],
  );
  const [first, second] = await sandboxesOf(new Uint8Array(bundle), []);
  expect(first?.logs).toEqual({ vmm: "hey" });
  expect(second?.logs).toBe(first?.logs);
  const many = archive(
    ...Array.from({ length: 501 }, (_, index) => [header(`x/${index}.json`, one.length), one] as const),
  );
  await expect(sandboxesOf(new Uint8Array(many), [])).rejects.toThrow("more sandboxes");
  const listed = Buffer.from(`[${Array.from({ length: 501 }, () => one).join(",")}]`);
  await expect(sandboxesOf(new Uint8Array(listed), [])).rejects.toThrow("more sandboxes");
});

test("JSON of any depth is no sandbox", async () => {
  for (const text of ["[".repeat(200_000), `${"[".repeat(20_000)}${"]".repeat(20_000)}`])
    await expect(sandboxesOf(new Uint8Array(Buffer.from(text)), [])).rejects.toThrow("it is no journal");
});

test("events are read whole, wherever the stream is cut", () => {
  const text = ': here\n\ndata: {"a":1}\n\nevent: end\ndata: over\n\ndata: half';
  for (let cut = 0; cut <= text.length; cut++) {
    const reader = new EventReader();
    expect([...reader.read(text.slice(0, cut)), ...reader.read(text.slice(cut))]).toEqual([
      { name: "message", data: '{"a":1}' },
      { name: "end", data: "over" },
    ]);
  }
});

test("a log keeps its last lines, and none of them without an end", () => {
  const log = new LogLines();
  expect(log.add("one\r\ntwo\nthr")).toEqual(["one", "two", "thr"]);
  expect(log.add("ee\n")).toEqual(["one", "two", "three"]);
  expect(log.add("x".repeat(1 << 20)).at(-1)?.length).toBe(4_000);
  expect(log.add(`\n${"y\n".repeat(10_000)}`)).toHaveLength(5_000);
});

/** UTF-8 and JSON, hostile input included. */
import * as sys from "sys";
import { decode, encode, parseJsonBytes } from "../runtime/text-codec.ts";
import { equal, ok, throws, verify } from "./harness.ts";

const GROUP = "text";
const bytes = (...values: number[]): Uint8Array => new Uint8Array(values);

verify(GROUP, "text survives the way there and back", () => {
  for (const text of ["", "ascii", "grün € 😀", "a\0b", "\u{10ffff}\ud7ff\ue000"]) {
    equal(decode(encode(text)), text, JSON.stringify(text));
  }
  equal([...encode("é€😀")], [0xc3, 0xa9, 0xe2, 0x82, 0xac, 0xf0, 0x9f, 0x98, 0x80], "bytes");
  equal(decode(encode("prefix-text").subarray(7)), "text", "a view with an offset");
});

verify(GROUP, "lone surrogates become U+FFFD", () => {
  equal([...encode("a\ud800b")], [97, 0xef, 0xbf, 0xbd, 98], "encode");
  equal([...encode("\udc00")], [0xef, 0xbf, 0xbd], "encode");
});

verify(GROUP, "ill-formed bytes become one U+FFFD for each maximal part", () => {
  const cases: [Uint8Array, string][] = [
    [bytes(0x61, 0xff, 0x62), "a\ufffdb"],
    [bytes(0xc0, 0xaf), "\ufffd\ufffd"],
    [bytes(0xed, 0xa0, 0x80), "\ufffd\ufffd\ufffd"],
    [bytes(0xe2, 0x82), "\ufffd"],
    [bytes(0xe2, 0x82, 0x41), "\ufffdA"],
    [bytes(0xf0, 0x9f, 0x98), "\ufffd"],
    [bytes(0xf0, 0x80, 0x80, 0x80), "\ufffd\ufffd\ufffd\ufffd"],
    [bytes(0xf4, 0x90, 0x80, 0x80), "\ufffd\ufffd\ufffd\ufffd"],
    [bytes(0x80, 0xbf), "\ufffd\ufffd"],
    [bytes(0xf0, 0x9f, 0x92, 0xf0, 0x9f, 0x98, 0x80), "\ufffd😀"],
  ];
  for (const [input, expected] of cases) equal(decode(input), expected, [...input].join(" "));
});

verify(GROUP, "encodeInto tells what it needs", () => {
  const buffer = new ArrayBuffer(4);
  equal(sys.utf8EncodeInto("abc", buffer, 1), 3, "fits");
  equal(sys.utf8EncodeInto("abcd", buffer, 1), -4, "does not fit");
  throws(() => sys.utf8EncodeInto("", buffer, 5), "RangeError", "offset");
  equal(decode(new Uint8Array(buffer)), "\0abc", "bytes");
});

verify(GROUP, "JSON is parsed from bytes", () => {
  equal(parseJsonBytes(encode('{"a":[1,"é",null]}')), { a: [1, "é", null] }, "value");
  for (const bad of ["", "{", "[1,]", "1 2", "'a'", '{"a":1,}']) {
    throws(() => parseJsonBytes(encode(bad)), "SyntaxError", bad);
  }
  throws(() => parseJsonBytes(bytes(0x22, 0xff, 0x22)), "SyntaxError", "ill-formed UTF-8");
});

verify(GROUP, "deep nesting is refused, not survived by luck", () => {
  const bomb = "[".repeat(1_000_000);
  throws(() => parseJsonBytes(encode(bomb)), "SyntaxError", "bytes");
  throws(() => JSON.parse(bomb), "SyntaxError", "text");
  throws(() => JSON.parse('{"a":'.repeat(100_000)), "SyntaxError", "objects");
  const deep = `${"[".repeat(200)}${"]".repeat(200)}`;
  equal(JSON.stringify(JSON.parse(deep)), deep, "200 levels are fine");
  equal(JSON.parse(JSON.stringify("[".repeat(1000))), "[".repeat(1000), "brackets in a string do not count");
  equal(
    JSON.parse('{"a":1}', (key, value: unknown) => (key === "a" ? 2 : value)),
    { a: 2 },
    "the reviver",
  );
});

verify("text", "base64 there and back, of any length", () => {
  for (const [text, encoded] of [
    ["", ""],
    ["f", "Zg=="],
    ["fo", "Zm8="],
    ["foo", "Zm9v"],
    ["foobar", "Zm9vYmFy"],
  ] as const) {
    const bytes = encode(text);
    equal(sys.base64Encode(bytes.buffer, 0, bytes.length), encoded, text);
  }
  const all = Uint8Array.from({ length: 256 }, (_, index) => index);
  const there = sys.base64Encode(all.buffer, 1, 255);
  equal([...new Uint8Array(sys.base64Decode(there))], [...all.subarray(1)], "each byte");
});

verify("text", "values go through bytes as they are", () => {
  const value = {
    text: "é\u{1f600}\ud800",
    list: [0, -1, 2 ** 40, 1.5, true, null, undefined],
    nested: { "": {} },
  };
  const bytes = sys.serialize(value);
  const again = sys.deserialize(bytes, 0, bytes.byteLength);
  equal(JSON.stringify(again), JSON.stringify(value), "copy");
  ok((again as typeof value).list[6] === undefined, "undefined is not null");
  throws(() => sys.serialize(() => 0), "TypeError", "a function");
});

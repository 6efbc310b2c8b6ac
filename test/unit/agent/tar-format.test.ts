/** Tar headers as the guest reads them: ustar, pax, GNU, and what is none of these. */
import { describe, expect, it } from "vitest";
import { TAR_BLOCK, type TarEntry, TarHeaders } from "../../../guest/agent/image/tar-format.ts";
import { type TarFile, writeTar } from "../../../lab/images/tar-writer.ts";

const text = {
  encode: (value: string) => new TextEncoder().encode(value),
  decode: (bytes: Uint8Array) => new TextDecoder().decode(bytes),
};

/** Every entry of an archive. */
function entriesOf(archive: Uint8Array): TarEntry[] {
  const headers = new TarHeaders(text);
  const entries: TarEntry[] = [];
  for (let at = 0; ; ) {
    const header = headers.read(archive.subarray(at, at + TAR_BLOCK));
    at += TAR_BLOCK;
    if (header.kind === "end") return entries;
    const size = header.kind === "extension" ? header.size : header.entry.size;
    if (header.kind === "extension") headers.extend(header.typeFlag, archive.subarray(at, at + size));
    else entries.push(header.entry);
    at += Math.ceil(size / TAR_BLOCK) * TAR_BLOCK;
  }
}

function one(file: TarFile): TarEntry | undefined {
  return entriesOf(writeTar([file]))[0];
}

/** A header block with some fields set, checksum included. */
function block(fields: Record<number, string | Uint8Array>): Uint8Array {
  const bytes = new Uint8Array(TAR_BLOCK);
  for (const [offset, value] of Object.entries(fields)) {
    bytes.set(typeof value === "string" ? text.encode(value) : value, Number(offset));
  }
  bytes.fill(0x20, 148, 156);
  const sum = bytes.reduce((total, byte) => total + byte, 0);
  bytes.set(text.encode(`${sum.toString(8).padStart(6, "0")}\0 `), 148);
  return bytes;
}

/** A pax record: its length counts itself. */
function record(content: string): Uint8Array {
  const rest = text.encode(` ${content}\n`).length;
  const digits = String(rest + 2).length;
  return text.encode(`${rest + digits} ${content}\n`);
}

describe("tar headers", () => {
  it("tell a file's name, mode, owner and size", () => {
    const entry = one({ path: "etc/passwd", content: "12345", mode: 0o640, uid: 7, gid: 8 });
    expect(entry).toMatchObject({ type: "file", name: "etc/passwd", mode: 0o640, uid: 7, gid: 8, size: 5 });
  });

  it("tell links, directories and devices", () => {
    const types = entriesOf(
      writeTar([
        { path: "d", type: "directory" },
        { path: "s", type: "symlink", target: "d" },
        { path: "h", type: "hardlink", target: "s" },
        { path: "c", type: "character", major: 1, minor: 3 },
      ]),
    );
    expect(types.map(({ type, linkName, major, minor }) => [type, linkName, major, minor])).toEqual([
      ["directory", "", 0, 0],
      ["symlink", "d", 0, 0],
      ["hardlink", "s", 0, 0],
      ["character", "", 1, 3],
    ]);
  });

  it("take names and attributes from pax headers, for one entry only", () => {
    const headers = new TarHeaders(text);
    headers.extend("x", record("path=a/name/with/b\u00fcrgerlich"));
    headers.extend("x", record("SCHILY.xattr.security.capability=x"));
    const header = block({ 0: "short", 100: "0000644\0", 124: "00000000000\0", 156: "0" });
    const first = headers.read(header);
    const second = headers.read(header);
    expect(first).toMatchObject({ entry: { name: "a/name/with/b\u00fcrgerlich" } });
    expect(first.kind === "entry" && [...first.entry.attributes.keys()]).toEqual(["security.capability"]);
    expect(second).toMatchObject({ entry: { name: "short" } });
  });

  it("take long names from GNU's headers", () => {
    const headers = new TarHeaders(text);
    headers.extend("L", text.encode("long/name\0"));
    expect(headers.read(block({ 0: "cut", 156: "0" }))).toMatchObject({ entry: { name: "long/name" } });
  });

  it("read numbers beyond octal", () => {
    const size = Uint8Array.from([0x80, 0, 0, 0, 0, 0, 0, 2, 0, 0, 0, 1]);
    const headers = new TarHeaders(text);
    expect(headers.read(block({ 0: "big", 124: size, 156: "0" }))).toMatchObject({
      entry: { size: 0x2_0000_0001 },
    });
  });

  it.each([
    ["text", text.encode("no tar at all".padEnd(TAR_BLOCK, "."))],
    ["a wrong checksum", block({ 0: "x", 156: "0" }).map((byte, index) => (index === 1 ? 1 : byte))],
    ["a size that is no number", block({ 0: "x", 124: "zzz", 156: "0", 257: "ustar\0" })],
    ["an extension of a gigabyte", block({ 124: "10000000000\0", 156: "x", 257: "ustar\0" })],
  ])("refuse %s", (_, bytes) => {
    expect(() => new TarHeaders(text).read(bytes)).toThrow();
  });

  it.each(["5 a=b\n", "99 path=x\n", "x path=y\n", "11 path+no-e\n"])(
    "refuse the pax record %j",
    (record) => {
      expect(() => new TarHeaders(text).extend("x", text.encode(record))).toThrow();
    },
  );
});

/** Taking signatures off kernel modules. */
import { describe, expect, it } from "vitest";
import { withoutSignature } from "../../../guest/image/module-signature.ts";

function signed(content: string, signature: string): Buffer {
  const info = Buffer.alloc(12);
  info.writeUInt32BE(signature.length, 8);
  return Buffer.concat([
    Buffer.from(content),
    Buffer.from(signature),
    info,
    Buffer.from("~Module signature appended~\n"),
  ]);
}

describe("a kernel module without its signature", () => {
  it("is what was signed", () => {
    expect(Buffer.from(withoutSignature(signed("ELF module", "signature"))).toString()).toBe("ELF module");
  });

  it("is the module itself where there was none", () => {
    expect(Buffer.from(withoutSignature(Buffer.from("ELF module"))).toString()).toBe("ELF module");
  });

  it("is left alone where the signature would be longer than the module", () => {
    const broken = signed("x", "y");
    broken.writeUInt32BE(9999, broken.length - 28 - 4);
    expect(withoutSignature(broken)).toBe(broken);
  });
});

/**
 * Extracts the uncompressed ELF kernel from a bzImage (kernel documentation: arch/x86/boot, the setup header's
 * payload_offset and payload_length).
 *
 * QEMU enters an ELF vmlinux by PVH, so the guest need not decompress itself, which takes 2.6 seconds under software
 * emulation. Must not guess: the header says where the payload is, and the payload's magic how it is compressed.
 */
import { spawn } from "node:child_process";
import { gunzipSync } from "node:zlib";
import { type BlazarError, blazarError } from "../../src/contracts/errors.ts";

const SETUP_SECTORS = 0x1f1;
const HEADER_MAGIC = 0x202;
const PROTOCOL_VERSION = 0x206;
const PAYLOAD_OFFSET = 0x248;
const PAYLOAD_LENGTH = 0x24c;
/** The first boot protocol whose header names the payload. */
const PROTOCOL_WITH_PAYLOAD = 0x0208;
const SECTOR = 512;

const ELF_MAGIC = Buffer.from([0x7f, 0x45, 0x4c, 0x46]);

/** Compressions that Debian has used for kernels. The payload ends with its size, so trailing bytes must be ignored. */
const COMPRESSIONS: readonly {
  readonly magic: readonly number[];
  readonly unpack: (data: Buffer) => Promise<Buffer>;
}[] = [
  { magic: [0xfd, 0x37, 0x7a, 0x58, 0x5a], unpack: (data) => filter("xz", ["-dc", "--single-stream"], data) },
  { magic: [0x28, 0xb5, 0x2f, 0xfd], unpack: (data) => filter("zstd", ["-dcq"], data) },
  { magic: [0x1f, 0x8b], unpack: async (data) => gunzipSync(data) },
];

/** The compressed kernel inside a bzImage. */
function bzImagePayload(image: Buffer): Buffer {
  const valid =
    image.length > PAYLOAD_LENGTH + 4 &&
    image.toString("latin1", HEADER_MAGIC, HEADER_MAGIC + 4) === "HdrS" &&
    image.readUInt16LE(PROTOCOL_VERSION) >= PROTOCOL_WITH_PAYLOAD;
  if (!valid) throw unusable("it is not a bzImage of boot protocol 2.08 or newer");
  const start = ((image[SETUP_SECTORS] ?? 0) + 1) * SECTOR + image.readUInt32LE(PAYLOAD_OFFSET);
  const end = start + image.readUInt32LE(PAYLOAD_LENGTH);
  if (end > image.length) throw unusable("its payload reaches past its end");
  return image.subarray(start, end);
}

/** The ELF kernel inside a bzImage. */
export async function extractVmlinux(image: Buffer): Promise<Buffer> {
  const payload = bzImagePayload(image);
  const compression = COMPRESSIONS.find(({ magic }) =>
    payload.subarray(0, magic.length).equals(Buffer.from(magic)),
  );
  if (compression === undefined) {
    throw unusable(`its payload has an unknown compression (${payload.toString("hex", 0, 6)})`);
  }
  const kernel = await compression.unpack(payload);
  if (!kernel.subarray(0, 4).equals(ELF_MAGIC)) throw unusable("its payload is not an ELF file");
  return kernel;
}

function unusable(reason: string): BlazarError {
  return blazarError("InvalidArgument", "extract the ELF kernel from the Debian kernel image", reason, {
    remedy: "remove the kernel from the cache and run again; if it stays, the package has changed its form",
  });
}

/** Pipes bytes through a program. Its status is ignored: the payload's trailing size makes decompressors complain. */
function filter(command: string, args: readonly string[], input: Buffer): Promise<Buffer> {
  return new Promise((resolve, reject) => {
    const child = spawn(command, args, { stdio: ["pipe", "pipe", "ignore"] });
    const chunks: Buffer[] = [];
    child.stdout.on("data", (chunk: Buffer) => chunks.push(chunk));
    child.stdin.on("error", () => {}); // the child stops reading at the end of its stream
    child.on("error", reject);
    child.on("close", () => resolve(Buffer.concat(chunks)));
    child.stdin.end(input);
  });
}

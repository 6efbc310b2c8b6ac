/**
 * Ends of wires for tests: a tap as a VMM has it (tuntap.rst), and a packet socket that hears all of a link (packet(7)).
 *
 * By koffi, like the product's workers. Descriptors do not block; whoever waits for a frame polls.
 */
import koffi from "koffi";
import { NetworkNamespace } from "../../../src/workers/network/namespaces.ts";

const libc = koffi.load(null);
const cOpen = libc.func("int open(str path, int flags)");
const cClose = libc.func("int close(int fd)");
const cIoctl = libc.func("int ioctl(int fd, unsigned long request, _Inout_ uint8_t *data)");
const cIoctlValue = libc.func("int ioctl(int fd, unsigned long request, unsigned long value)");
const cRead = libc.func("int64_t read(int fd, _Out_ uint8_t *data, size_t length)");
const cWrite = libc.func("int64_t write(int fd, const uint8_t *data, size_t length)");
const cSocket = libc.func("int socket(int family, int type, int protocol)");
const cBind = libc.func("int bind(int fd, const uint8_t *address, uint32_t length)");

const O_RDWR_NONBLOCK_CLOEXEC = 0o2 | 0o4000 | 0o2000000;
const TUNSETIFF = 0x400454ca;
const TUNSETOFFLOAD = 0x400454d0;
const IFF_TAP_NO_PI_VNET_HDR = 0x2 | 0x1000 | 0x4000;
/** TUN_F_CSUM, TUN_F_TSO4, TUN_F_TSO6. */
const OFFLOADS = 0x1 | 0x2 | 0x4;
const IFREQ_BYTES = 40;
const AF_PACKET = 17;
const SOCK_RAW_NONBLOCK_CLOEXEC = 3 | 0o4000 | 0o2000000;
const ETH_P_ALL = 3;
const SOCKADDR_LL_BYTES = 20;
/** Of struct virtio_net_hdr. */
export const VIRTIO_HEADER_BYTES = 10;

/** What is read of a descriptor, a piece at a time. */
class Wire {
  protected constructor(protected readonly fd: number) {
    if (fd < 0) throw new Error(`no descriptor: errno ${koffi.errno()}`);
  }

  /** The frames that are there now. */
  read(): Uint8Array[] {
    const frames: Uint8Array[] = [];
    for (;;) {
      const buffer = new Uint8Array(70_000);
      const length = Number(cRead(this.fd, buffer, buffer.length));
      if (length <= 0) return frames;
      frames.push(buffer.subarray(0, length));
    }
  }

  /** False if the wire does not take it. */
  write(frame: Uint8Array): boolean {
    return Number(cWrite(this.fd, frame, frame.length)) === frame.length;
  }

  close(): void {
    cClose(this.fd);
  }
}

/** A tap as a VMM holds it: frames with a virtio header in front. */
export class TestTap extends Wire {
  private constructor(
    fd: number,
    readonly name: string,
  ) {
    super(fd);
  }

  /** @param namespace path of the namespace that it is made in */
  static open(namespace: string, name: string): TestTap {
    const fd = within(namespace, () => {
      const opened = cOpen("/dev/net/tun", O_RDWR_NONBLOCK_CLOEXEC);
      const request = new Uint8Array(IFREQ_BYTES);
      request.set(Buffer.from(name), 0);
      new DataView(request.buffer).setUint16(16, IFF_TAP_NO_PI_VNET_HDR, true);
      if (cIoctl(opened, TUNSETIFF, request) < 0) throw new Error(`no tap: errno ${koffi.errno()}`);
      if (cIoctlValue(opened, TUNSETOFFLOAD, OFFLOADS) < 0)
        throw new Error(`no offloads: errno ${koffi.errno()}`);
      return opened;
    });
    return new TestTap(fd, name);
  }

  /** The frames that are there now, without virtio's headers. */
  frames(): Uint8Array[] {
    return this.read().map((bytes) => bytes.subarray(VIRTIO_HEADER_BYTES));
  }

  /** @param header of virtio; default: nothing is left to be done */
  send(frame: Uint8Array, header: Uint8Array = new Uint8Array(VIRTIO_HEADER_BYTES)): boolean {
    return this.write(Buffer.concat([header, frame]));
  }
}

/** Hears and sends on a link. */
export class PacketSocket extends Wire {
  private constructor(fd: number) {
    super(fd);
  }

  static open(namespace: string, linkIndex: number): PacketSocket {
    const fd = within(namespace, () => {
      const opened = cSocket(AF_PACKET, SOCK_RAW_NONBLOCK_CLOEXEC, ETH_P_ALL << 8);
      const address = new Uint8Array(SOCKADDR_LL_BYTES);
      const view = new DataView(address.buffer);
      view.setUint16(0, AF_PACKET, true);
      view.setUint16(2, ETH_P_ALL, false);
      view.setInt32(4, linkIndex, true);
      if (cBind(opened, address, address.length) < 0) throw new Error(`no capture: errno ${koffi.errno()}`);
      return opened;
    });
    return new PacketSocket(fd);
  }
}

function within<T>(path: string, work: () => T): T {
  const namespace = NetworkNamespace.open(path);
  try {
    return namespace.run(work);
  } finally {
    namespace.close();
  }
}

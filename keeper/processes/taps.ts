/**
 * Taps for children, which must not be able to make or to move any: Documentation/networking/tuntap.rst of the kernel.
 *
 * They are made in a network namespace of the keeper's own, where they wait (down) until somebody moves them to where they
 * are wanted. A tap's descriptor stands for the namespace that it was made in, so a child learns nothing of the other one.
 * Where many networks change at once, the kernel takes 100 ms for a tap: the keeper itself never waits for one.
 */
import * as sys from "sys";
import { check, checkValue, failure } from "../../native/runtime/check.ts";
import { type ChildReaper, cloneChild } from "../../native/runtime/child.ts";
import type { EventLoop } from "../../native/runtime/event-loop.ts";
import { decode, encode } from "../../native/runtime/text-codec.ts";
import { blazarError } from "../../src/contracts/errors.ts";
import type { StartedProcess } from "../../src/protocol/keeper/messages.ts";
import { errorFromRecord, errorToRecord } from "../../src/protocol/wire/error-record.ts";
import { NetworkNamespace } from "./network-namespaces.ts";

const PREFIX = "blztap";
const REPORT_BYTES = 4096;
const REPORT_TEXT = 256;
const MADE = "{}";
const FAILURE = { code: "HostResource", operation: "make a tap" } as const;

/** Made at first need. */
let parking: NetworkNamespace | undefined;
/** No name comes twice: whoever knows a tap by its name can never mean another one. */
let named = 0;

/** Taps that are about to be made for a child. */
export class Taps {
  private constructor(
    private readonly place: NetworkNamespace | undefined,
    private readonly names: readonly string[],
  ) {}

  /** Names them and makes none. Throws PermissionDenied or HostResource. */
  static name(count: number): Taps {
    if (count === 0) return new Taps(undefined, []);
    parking ??= NetworkNamespace.make();
    return new Taps(
      parking,
      Array.from({ length: count }, () => `${PREFIX}${named++}`),
    );
  }

  get parked(): StartedProcess["taps"] {
    return this.names.map((name) => ({ name, namespace: this.place?.path ?? "" }));
  }

  /** In a child: makes them. Their descriptors are close-on-exec. Throws PermissionDenied or HostResource. */
  open(): number[] {
    return this.place?.inside(() => this.names.map(openTap)) ?? [];
  }

  /** Makes them by a helper, which hands their descriptors over. Throws as {@link open}. */
  async openAside(loop: EventLoop, reaper: ChildReaper): Promise<number[]> {
    if (this.names.length === 0) return [];
    const [own, theirs] = checkValue(sys.socketpair(sys.O_NONBLOCK), "make a socket pair for taps");
    try {
      reaper.onExit(
        cloneChild({}, () => this.report(theirs)),
        () => undefined,
      );
    } catch (error) {
      sys.close(own);
      throw error;
    } finally {
      sys.close(theirs);
    }
    return receive(loop, own);
  }

  /** In the helper. */
  private report(socket: number): number {
    let fds: number[] = [];
    let text = MADE;
    try {
      fds = this.open();
    } catch (error) {
      text = JSON.stringify(errorToRecord(error, FAILURE, REPORT_TEXT));
    }
    const { buffer, byteLength } = encode(text);
    check(sys.sendFds(socket, buffer, 0, byteLength, fds), "hand taps over");
    return 0;
  }
}

function openTap(name: string): number {
  const fd = sys.tapOpen(name);
  if (fd >= 0) return fd;
  throw failure(
    fd,
    fd === -sys.EPERM ? "PermissionDenied" : "HostResource",
    FAILURE.operation,
    "/dev/net/tun",
  );
}

/** Takes over the socket. */
function receive(loop: EventLoop, socket: number): Promise<number[]> {
  return new Promise((resolve, reject) => {
    const bytes = new Uint8Array(REPORT_BYTES);
    const watch = loop.watch(socket, {
      readable: () => {
        const received = sys.recvFds(socket, bytes.buffer, 0, REPORT_BYTES);
        if (received === -sys.EAGAIN) return;
        watch.stop();
        sys.close(socket);
        const [count = 0, ...fds] = typeof received === "number" ? [] : received;
        const text = decode(bytes.subarray(0, count));
        if (text === MADE) resolve(fds);
        else reject(reportOf(text));
      },
    });
  });
}

function reportOf(text: string): unknown {
  if (text === "")
    return blazarError(FAILURE.code, FAILURE.operation, "the helper has ended; see the keeper's log");
  return errorFromRecord(JSON.parse(text), FAILURE);
}

/** The event loop and the queued writer. */
import * as sys from "sys";
import { EventLoop } from "../runtime/event-loop.ts";
import { createLogger } from "../runtime/log.ts";
import { QueuedWriter } from "../runtime/queued-writer.ts";
import { check, checkValue, equal, loop, ok, timer, verify, withDeadline } from "./harness.ts";

const GROUP = "loop";
const chunk = (size: number, value = 0): Uint8Array<ArrayBuffer> => new Uint8Array(size).fill(value);

function pipe(): [reader: number, writer: number] {
  return checkValue(sys.pipe2(sys.O_NONBLOCK), "make a pipe");
}

function closeAll(...fds: number[]): void {
  for (const fd of fds) sys.close(fd);
}

verify(GROUP, "a flooding descriptor does not starve the others", async () => {
  const [floodReader, floodWriter] = pipe();
  const quiet = Array.from({ length: 100 }, pipe);
  const buffer = new ArrayBuffer(4096);
  let flooded = 0;
  const refill = (): void => {
    while (sys.write(floodWriter, buffer, 0, buffer.byteLength) > 0);
  };
  refill();
  const flood = loop.watch(floodReader, {
    readable: () => {
      if (sys.read(floodReader, buffer, 0, 1024) > 0) flooded++;
      refill();
    },
  });
  for (const [, writer] of quiet) sys.write(writer, buffer, 0, 1);
  const before = flooded;
  await Promise.all(quiet.map(([reader]) => readable(reader)));
  // 101 ready descriptors need two passes of 64 events, and one more if the flood came first
  ok(flooded - before <= 4, `the flood ran ${flooded - before} times before everybody else had run once`);
  flood.stop();
  closeAll(floodReader, floodWriter, ...quiet.flat());
});

function readable(fd: number): Promise<void> {
  return new Promise((resolve) => {
    const watch = loop.watch(fd, {
      readable: () => {
        watch.stop();
        resolve();
      },
    });
  });
}

verify(GROUP, "timers run in order, when due, and can be cancelled", async () => {
  const seen: string[] = [];
  const start = loop.now();
  loop.setTimer(30, () => seen.push("late"));
  loop.setTimer(10, () => seen.push("early 1"));
  loop.setTimer(10, () => seen.push("early 2"));
  const cancelled = loop.setTimer(15, () => seen.push("never"));
  loop.setTimer(5, () => cancelled.cancel());
  await timer(40);
  equal(seen, ["early 1", "early 2", "late"], "order");
  ok(loop.now() - start >= 40, "not before time");
  cancelled.cancel();
});

verify(GROUP, "thousands of timers come out sorted", () => {
  let now = 0;
  const own = new EventLoop({ now: () => now });
  const seen: number[] = [];
  const timers = Array.from({ length: 2000 }, (_, index) => {
    const due = (index * 7919) % 2000;
    return own.setTimer(due, () => seen.push(due));
  });
  for (const [index, each] of timers.entries()) if (index % 3 === 0) each.cancel();
  now = 2000;
  own.pass();
  const sorted = [...seen].sort((a, b) => a - b);
  equal(seen, sorted, "order");
  equal(seen.length, 2000 - Math.ceil(2000 / 3), "count");
});

verify(GROUP, "what a handler throws does not stop the loop", async () => {
  const errors: string[] = [];
  const own = new EventLoop({ logger: createLogger("test", "info", (line) => errors.push(line)) });
  const [reader, writer] = pipe();
  sys.write(writer, chunk(1).buffer, 0, 1);
  const watch = own.watch(reader, {
    readable: () => {
      throw new Error("handler");
    },
  });
  own.setTimer(0, () => {
    throw new Error("timer");
  });
  own.defer(() => {
    throw new Error("deferred");
  });
  own.pass();
  watch.stop();
  equal(errors.length, 3, "all were logged");
  closeAll(reader, writer);
});

verify(GROUP, "a stopped watch gets nothing, not even in the same pass", () => {
  const own = new EventLoop();
  const pipes = [pipe(), pipe()];
  let calls = 0;
  const watches = pipes.map(([reader]) =>
    own.watch(reader, {
      readable: () => {
        calls++;
        for (const each of watches) each.stop();
      },
    }),
  );
  for (const [, writer] of pipes) sys.write(writer, chunk(1).buffer, 0, 1);
  own.defer(() => undefined);
  own.pass();
  equal(calls, 1, "calls");
  closeAll(...pipes.flat());
});

verify(GROUP, "an ended peer does not spin a paused watch", () => {
  let now = 0;
  const own = new EventLoop({ now: () => now });
  const [reader, writer] = pipe();
  let calls = 0;
  const watch = own.watch(reader, { readable: () => calls++ });
  sys.close(writer);
  own.setTimer(0, () => undefined);
  own.pass();
  equal(calls, 1, "the end is told");
  watch.setReadable(null);
  let passes = 0;
  own.setTimer(20, () => passes++);
  while (passes === 0 && now < 1000) {
    now += 20;
    own.pass();
  }
  equal([calls, now], [1, 20], "and not again while paused");
  watch.stop();
  sys.close(reader);
});

verify(GROUP, "edges come once for input and once for the end", async () => {
  const [a, b] = checkValue(sys.socketpair(sys.O_NONBLOCK), "socketpair");
  const edges: number[] = [];
  let wake = (): void => undefined;
  const watch = loop.watchEdges(a, (events) => {
    edges.push(events);
    wake();
  });
  const next = (): Promise<void> =>
    withDeadline(
      new Promise((resolve) => {
        wake = resolve;
      }),
    );
  await next();
  equal(edges.splice(0), [sys.EPOLLOUT], "writable at first");
  sys.write(b, chunk(3).buffer, 0, 3);
  await next();
  await timer(20);
  equal(edges.length, 1, "one edge though nothing was read");
  equal((edges.splice(0)[0] ?? 0) & sys.EPOLLIN, sys.EPOLLIN, "input");
  sys.close(b);
  await next();
  equal((edges[0] ?? 0) & sys.EPOLLHUP, sys.EPOLLHUP, "hang-up");
  watch.stop();
  sys.close(a);
});

verify(GROUP, "promises run between passes, in time", async () => {
  const order: string[] = [];
  await new Promise<void>((resolve) => {
    loop.defer(() => {
      order.push("pass 1");
      Promise.resolve()
        .then(() => order.push("job"))
        .then(() => loop.defer(resolve));
      loop.defer(() => order.push("pass 2"));
    });
  });
  equal(order, ["pass 1", "job", "pass 2"], "order");
});

verify("writer", "waits for a slow reader within its bound and drains in order", async () => {
  const [reader, writer] = pipe();
  const watch = loop.watch(writer);
  let drained = 0;
  const queued = new QueuedWriter({ fd: writer, watch, limit: 64 * 1024, onDrain: () => drained++ });
  let accepted = 0;
  while (accepted < 255 && queued.write(chunk(8192, accepted + 1))) accepted++;
  ok(accepted >= 16 && accepted < 64, `accepted ${accepted} of 8 KiB: the pipe's 64 KiB and the limit's`);
  ok(queued.pending <= 64 * 1024 && !queued.roomy, "bounded");
  const buffer = new Uint8Array(8192);
  for (let index = 0; index < accepted; index++) {
    for (let got = 0; got < 8192; ) {
      const count = sys.read(reader, buffer.buffer, got, 8192 - got);
      if (count === -sys.EAGAIN) await readable(reader);
      else got += check(count, "read");
    }
    equal([buffer[0], buffer[8191]], [index + 1, index + 1], `chunk ${index}`);
  }
  await timer(1);
  equal([queued.pending, drained], [0, 1], "all gone, told once");
  ok(queued.write(chunk(1)), "accepts again");
  watch.stop();
  closeAll(reader, writer);
});

verify("writer", "takes one chunk larger than its limit, and ends when all is out", async () => {
  const [reader, writer] = pipe();
  const watch = loop.watch(writer);
  const queued = new QueuedWriter({ fd: writer, watch, limit: 1024 });
  ok(queued.write(chunk(200_000)), "large chunk");
  let got = 0;
  const buffer = new ArrayBuffer(65_536);
  const source = loop.watch(reader, {
    readable: () => {
      got += Math.max(0, sys.read(reader, buffer, 0, buffer.byteLength));
    },
  });
  await new Promise<void>((resolve) => queued.end(resolve));
  ok(!queued.write(chunk(1)), "nothing after the end");
  source.stop();
  watch.stop();
  ok(got > 200_000 - 65_536 - 1, "written");
  closeAll(reader, writer);
});

verify("writer", "keeps small chunks that wait together, in order, and costs little for each", async () => {
  const [a, b] = checkValue(sys.socketpair(sys.O_NONBLOCK), "socketpair");
  const watch = loop.watch(a);
  const queued = new QueuedWriter({ fd: a, watch, limit: 4 * 1024 * 1024 });
  ok(queued.write(chunk(1024 * 1024)), "more than the socket takes");
  const before = sys.memoryUsage().used;
  for (let index = 0; index < 100_000; index++) ok(queued.write(chunk(1, index % 251)), "accepted");
  ok(sys.memoryUsage().used - before < 400_000, `${sys.memoryUsage().used - before} bytes for 100,000`);
  const buffer = new Uint8Array(65_536);
  let got = 0;
  while (got < 1024 * 1024 + 100_000) {
    const count = sys.read(b, buffer.buffer, 0, buffer.byteLength);
    if (count === -sys.EAGAIN) {
      await withDeadline(readable(b));
      continue;
    }
    for (let at = 0; at < check(count, "read"); at++) {
      const number = got + at - 1024 * 1024;
      if (number >= 0 && buffer[at] !== number % 251) throw new Error(`byte ${number} is ${buffer[at]}`);
    }
    got += count;
  }
  equal(queued.pending, 0, "all out");
  watch.stop();
  closeAll(a, b);
});

verify("writer", "does not stall on an edge-triggered watch", async () => {
  const [a, b] = checkValue(sys.socketpair(sys.O_NONBLOCK), "socketpair");
  const watch = loop.watchEdges(a, () => undefined);
  const queued = new QueuedWriter({ fd: a, watch, limit: 4 * 1024 * 1024 });
  for (let index = 0; index < 2000; index++) ok(queued.write(chunk(1000)), "accepted");
  ok(queued.pending > 0, "more than the socket takes");
  const buffer = new ArrayBuffer(3000);
  for (let got = 0; got < 2_000_000; ) {
    const count = sys.read(b, buffer, 0, buffer.byteLength);
    if (count === -sys.EAGAIN) await withDeadline(readable(b));
    else got += check(count, "read");
  }
  equal(queued.pending, 0, "all out");
  watch.stop();
  closeAll(a, b);
});

verify("writer", "reports a broken pipe once and can be reset", () => {
  const [reader, writer] = pipe();
  const watch = loop.watch(writer);
  const errors: string[] = [];
  const queued = new QueuedWriter({ fd: writer, watch, onError: (error) => errors.push(error.message) });
  sys.close(reader);
  queued.write(chunk(1));
  ok(!queued.write(chunk(1)), "refuses");
  equal(errors.length, 1, "told once");
  ok(errors[0]?.includes("EPIPE") === true, errors[0] ?? "");
  queued.reset();
  ok(queued.roomy, "after a reset");
  watch.stop();
  sys.close(writer);
});

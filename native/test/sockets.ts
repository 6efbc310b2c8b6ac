/** Sockets, descriptors in messages, terminals, interfaces and the clock. */
import * as sys from "sys";
import { writeControl } from "../runtime/files.ts";
import { decode, encode } from "../runtime/text-codec.ts";
import { check, checkValue, equal, inChild, loop, ok, scratch, throws, verify } from "./harness.ts";

const buffer = new ArrayBuffer(64);

verify("sockets", "a unix socket has its mode, and peers their credentials", () => {
  const path = `${scratch}/socket`;
  const listener = check(sys.unixListen(path, 0o600, 4), "listen");
  equal(checkValue(sys.stat(path), "stat").mode & 0o7777, 0o600, "mode");
  equal(sys.unixListen(path, 0o600, 4), -sys.EADDRINUSE, "in use");
  equal(sys.accept4(listener), -sys.EAGAIN, "nobody yet");
  const client = check(sys.unixConnect(path), "connect");
  const server = check(sys.accept4(listener), "accept");
  equal(sys.peerCredentials(server), { pid: sys.getpid(), uid: 0, gid: 0 }, "credentials");
  equal(sys.read(server, buffer, 0, 1), -sys.EAGAIN, "non-blocking");
  equal(sys.shutdown(client, sys.SHUT_WR), 0, "shutdown");
  equal(sys.read(server, buffer, 0, 1), 0, "end");
  equal(sys.socketError(client), 0, "no error");
  for (const fd of [listener, client, server]) sys.close(fd);
  equal(sys.unixConnect(path), -sys.ECONNREFUSED, "closed");
  sys.unlink(path);
});

verify("sockets", "descriptors travel with bytes", () => {
  const [a, b] = checkValue(sys.socketpair(sys.O_NONBLOCK), "socketpair");
  const [reader, writer] = checkValue(sys.pipe2(0), "pipe");
  equal(sys.sendFds(a, encode("two").buffer, 0, 3, [reader, writer]), 3, "send");
  const received = checkValue(sys.recvFds(b, buffer, 1, 10), "receive");
  equal(received.length, 3, "descriptors");
  const [bytes, r = -1, w = -1] = received;
  equal([bytes, decode(new Uint8Array(buffer, 1, 3))], [3, "two"], "bytes");
  equal(sys.fcntl(r, sys.F_GETFD, 0), 1, "close-on-exec");
  sys.write(w, encode("!").buffer, 0, 1);
  equal(sys.read(reader, buffer, 0, 1), 1, "the same pipe");
  equal(sys.recvFds(b, buffer, 0, 1), -sys.EAGAIN, "nothing more");
  throws(() => sys.sendFds(a, buffer, 0, 0, []), "RangeError", "no bytes");
  equal(sys.sendFds(a, buffer, 0, 1, [987]), -sys.EBADF, "a bad descriptor");
  sys.close(a);
  equal(sys.recvFds(b, buffer, 0, 1), [0], "end");
  equal(sys.sendFds(b, buffer, 0, 1, []), -sys.EPIPE, "no SIGPIPE");
  for (const fd of [b, r, w, reader, writer]) sys.close(fd);
});

verify("sockets", "vsock refuses or connects, but does not hang", () => {
  const listener = sys.vsockListen(40_123, 1);
  const fd = sys.vsockConnect(sys.VMADDR_CID_LOCAL, 40_123);
  for (const each of [listener, fd]) if (each >= 0) sys.close(each);
  ok(Number.isInteger(listener) && Number.isInteger(fd), "results");
});

verify("sockets", "a TCP connection to loopback is refused, made and reset", () => {
  inChild(() => {
    bringLoopbackUp();
    for (const version of [4, 6])
      equal(connected(version, 80), -sys.ECONNREFUSED, `refused on IPv${version}`);
    // a port that connects to itself is a server and a client in one (RFC 793, simultaneous open)
    writeControl("/proc/sys/net/ipv4/ip_local_port_range", "5000 5000");
    for (const version of [4, 6]) {
      const fd = check(connected(version, 5000), "connect");
      equal(sys.write(fd, encode("hello").buffer, 0, 5), 5, "write");
      equal(sys.poll1(fd, sys.POLLIN, 1000), sys.POLLIN, "readable");
      equal(sys.read(fd, buffer, 0, 64), 5, "read");
      equal(sys.tcpReset(fd), 0, "reset");
      equal(sys.write(fd, buffer, 0, 1), -sys.ECONNRESET, "it was reset");
      sys.close(fd);
    }
  }, sys.CLONE_NEWNET);
});

/** RTM_NEWLINK with IFF_UP for the first link of a namespace: rtnetlink(7). */
function bringLoopbackUp(): void {
  const request = new DataView(new ArrayBuffer(32));
  request.setUint32(0, 32, true);
  request.setUint16(4, 16, true);
  request.setUint16(6, 5, true);
  for (const offset of [20, 24, 28]) request.setUint32(offset, 1, true);
  const netlink = check(sys.netlinkOpen(sys.NETLINK_ROUTE), "netlink");
  equal(sys.write(netlink, request.buffer, 0, 32), 32, "ask");
  const answer = new ArrayBuffer(64);
  sys.poll1(netlink, sys.POLLIN, 5000);
  ok(check(sys.read(netlink, answer, 0, 64), "answer") >= 20, "an answer");
  equal(new DataView(answer).getInt32(16, true), 0, "lo is up");
  sys.close(netlink);
}

/** The descriptor of a connection to this machine, or -errno. */
function connected(version: number, port: number): number {
  const fd = sys.loopbackConnect(version, port);
  if (fd < 0) return fd;
  sys.poll1(fd, sys.POLLOUT, 5000);
  const error = sys.socketError(fd);
  return error === 0 ? fd : -error;
}

verify("tty", "a pty has a peer, a size and a session", () => {
  const master = check(sys.open("/dev/ptmx", sys.O_RDWR | sys.O_NOCTTY), "open ptmx");
  equal(sys.unlockPty(master), 0, "unlock");
  ok(sys.ptyNumber(master) >= 0, "number");
  const peer = check(sys.openPtyPeer(master), "peer");
  ok(sys.isatty(peer) && !sys.isatty(check(sys.eventfd(0), "eventfd")), "isatty");
  equal(sys.setWindowSize(master, 40, 120), 0, "set size");
  equal(sys.getWindowSize(peer), [40, 120], "size");
  inChild(() => {
    equal(sys.setControllingTty(peer), -sys.EPERM, "not a session leader");
    check(sys.setsid(), "setsid");
    check(sys.setControllingTty(peer), "controlling terminal");
    ok(sys.open("/dev/tty", sys.O_RDWR) >= 0, "/dev/tty");
  });
  sys.close(peer);
  sys.close(master);
  equal(sys.unlockPty(check(sys.open("/dev/null", sys.O_RDONLY), "open")), -sys.ENOTTY, "no terminal");
});

verify("network", "a netlink socket answers in words", () => {
  inChild(() => {
    const netlink = check(sys.netlinkOpen(sys.NETLINK_ROUTE), "netlink");
    // RTM_SETLINK of link 1, brought up; then of a link that is not there
    const request = new Uint32Array([32, 0x0005_0013, 1, 0, 0, 1, 1, 1]);
    const ask = (index: number): Int32Array => {
      request[5] = index;
      equal(sys.write(netlink, request.buffer, 0, 32), 32, "ask");
      const answer = new ArrayBuffer(4096);
      ok(check(sys.read(netlink, answer, 0, 4096), "answer") >= 36, "an answer");
      return new Int32Array(answer);
    };
    equal(ask(1)[4], 0, "lo is up");
    equal(ask(77)[4], -sys.ENODEV, "no such link");
    ok(sys.netlinkOpen(4711) < 0, "no such protocol");
    sys.close(netlink);
  }, sys.CLONE_NEWNET);
});

verify("time", "clock and entropy", () => {
  inChild(() => {
    const before = Date.now();
    equal(
      sys.setClock(Math.floor(before / 1000), (before % 1000) * 1_000_000),
      0,
      "set the clock to what it is",
    );
    ok(Math.abs(Date.now() - before) < 5000, "no jump");
    equal(sys.setClock(0, 2_000_000_000), -sys.EINVAL, "bad nanoseconds");
    const random = check(sys.open("/dev/random", sys.O_RDWR), "open");
    equal(sys.addEntropy(random, new ArrayBuffer(32), 0, 0, 0), 0, "no entropy is none");
    equal(sys.addEntropy(random, new ArrayBuffer(32), 0, 32, 0), 0, "bytes without entropy");
    throws(() => sys.addEntropy(random, new ArrayBuffer(32), 0, 8, 65), "RangeError", "too many bits");
    equal(sys.reseed(random), 0, "reseed");
    equal(
      sys.addEntropy(check(sys.open("/dev/null", sys.O_RDWR), "open"), buffer, 0, 8, 64),
      -sys.ENOTTY,
      "not random",
    );
  });
});

verify("poll", "eventfd and poll", () => {
  const fd = check(sys.eventfd(0), "eventfd");
  equal(sys.poll1(fd, sys.POLLIN, 0), 0, "nothing");
  equal(sys.write(fd, new BigUint64Array([1n]).buffer, 0, 8), 8, "write");
  equal(sys.poll1(fd, sys.POLLIN, 0), sys.POLLIN, "readable");
  equal(sys.poll1(987, sys.POLLIN, 0), sys.POLLNVAL, "bad descriptor");
  equal(sys.poll1(-1, 0, 0), 0, "sleep");
  sys.close(fd);
  ok(loop.now() > 0, "clock");
});

/** Wrong arguments throw TypeError or RangeError; refusals of the kernel are -errno. */
import * as sys from "sys";
import { equal, ok, throws, verify } from "./harness.ts";

const GROUP = "arguments";
/** Anything, for calls that the types forbid. */
const wrong = (value: unknown): never => value as never;

verify(GROUP, "a wrong type is a TypeError", () => {
  throws(() => sys.mkdir(wrong(3), 0), "TypeError", "number for string");
  throws(() => sys.mkdir("/x", wrong("3")), "TypeError", "string for number");
  throws(() => sys.mkdir(wrong(undefined), wrong(undefined)), "TypeError", "nothing");
  throws(() => sys.setCloexec(0, wrong(1)), "TypeError", "number for boolean");
  throws(() => sys.setgroups(wrong({ length: 1 })), "TypeError", "object for array");
  throws(() => sys.read(0, wrong([]), 0, 0), "TypeError", "array for buffer");
  throws(() => sys.read(0, wrong(new Uint8Array(1)), 0, 0), "TypeError", "view for buffer");
  throws(() => (sys.read as (fd: number) => unknown)(0), "TypeError", "no buffer at all");
  throws(() => sys.execve("/bin/true", wrong("x"), []), "TypeError", "string for argv");
  throws(() => sys.execve("/bin/true", wrong([1]), []), "TypeError", "number in argv");
  throws(() => sys.setTick(wrong(1)), "TypeError", "number for function");
});

verify(GROUP, "a wrong range is a RangeError", () => {
  throws(() => sys.close(-1), "RangeError", "negative descriptor");
  throws(() => sys.close(1.5), "RangeError", "fraction");
  throws(() => sys.close(2 ** 31), "RangeError", "too large");
  throws(() => sys.close(Number.NaN), "RangeError", "NaN");
  throws(() => sys.mkdir("/a\0b", 0), "RangeError", "NUL in a path");
  throws(() => sys.execve("/bin/true", ["a\0b"], []), "RangeError", "NUL in argv");
  throws(() => sys.mount(null, "/x", null, 2 ** 32), "RangeError", "33 bits of flags");
  throws(() => sys.clone(0x100), "RangeError", "CLONE_VM");
  throws(() => sys.fcntl(0, 5, 0), "RangeError", "F_GETLK");
  throws(() => sys.prctl(40, 0), "RangeError", "an option that is not offered");
  throws(() => sys.signalfd([0]), "RangeError", "signal 0");
  throws(() => sys.setWindowSize(0, 70000, 1), "RangeError", "rows");
});

verify(GROUP, "offset and length must lie in the buffer", () => {
  const buffer = new ArrayBuffer(8);
  for (const [offset, length] of [
    [0, 9],
    [9, 0],
    [8, 1],
    [-1, 1],
    [1, 2 ** 53 - 1],
  ] as const) {
    throws(() => sys.getrandom(buffer, offset, length), "RangeError", `${offset}+${length}`);
  }
  equal(sys.getrandom(buffer, 8, 0), 0, "the empty end");
  equal(sys.getrandom(buffer, 0, 8), 8, "all of it");
  equal(sys.getrandom(new ArrayBuffer(0), 0, 0), 0, "an empty buffer");
});

verify(GROUP, "the kernel's refusals are negative errnos", () => {
  equal(sys.open("/nonexistent", sys.O_RDONLY), -sys.ENOENT, "open");
  equal(sys.readFile("/nonexistent", 1), -sys.ENOENT, "readFile");
  equal(sys.stat("/nonexistent"), -sys.ENOENT, "stat");
  equal(sys.readdir("/dev/null"), -sys.ENOTDIR, "readdir");
  equal(sys.readlink("/"), -sys.EINVAL, "readlink");
  equal(sys.close(987), -sys.EBADF, "close");
  equal(sys.kill(2 ** 22 + 1, 0), -sys.ESRCH, "kill");
  equal(sys.waitpid(2 ** 22 + 1, 0)[0], -sys.ECHILD, "waitpid");
  equal(sys.unixConnect("/nonexistent"), -sys.ENOENT, "connect");
  equal(sys.unixConnect("x".repeat(200)), -sys.ENAMETOOLONG, "a long socket path");
  equal(sys.mount("none", "/", "tmpfs", 0, "x".repeat(4096)), -sys.E2BIG, "long mount data");
  ok(sys.EPOLLET < 0 && sys.EPOLLET === 1 << 31, "flags of bit 31 are signed");
});

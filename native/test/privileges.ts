/** Users, capabilities, seccomp. */
import * as sys from "sys";
import { readText } from "../runtime/files.ts";
import { check, checkValue, equal, inChild, ok, scratch, throws, verify } from "./harness.ts";

const GROUP = "privileges";
const CAP_CHOWN = 1n << 0n;
const CAP_NET_BIND_SERVICE = 1n << 10n;

function capabilities(name: string): bigint {
  const value = new RegExp(`${name}:\\s*(\\w+)`).exec(readText("/proc/self/status"))?.[1];
  return BigInt(`0x${value ?? "0"}`);
}

verify(GROUP, "an ordinary user has no capabilities", () => {
  inChild(() => {
    check(sys.setgroups([10, 20]), "setgroups");
    check(sys.setresgid(1001, 1001, 1001), "setresgid");
    check(sys.setresuid(1000, 1000, 1000), "setresuid");
    equal(sys.getids(), { uid: 1000, euid: 1000, gid: 1001, egid: 1001 }, "ids");
    ok(/Groups:\t10 20 \n/.test(readText("/proc/self/status")), "groups");
    equal(capabilities("CapEff"), 0n, "CapEff");
    equal(sys.setuid(0), -sys.EPERM, "no way back");
    equal(sys.setgid(0), -sys.EPERM, "no way back");
  });
});

verify(GROUP, "capabilities are kept, limited and made ambient", () => {
  inChild(() => {
    const keep = CAP_CHOWN | CAP_NET_BIND_SERVICE;
    check(sys.limitBounding(keep), "limit the bounding set");
    check(sys.prctl(sys.PR_SET_KEEPCAPS, 1), "keep capabilities");
    check(sys.setresuid(1000, 1000, 1000), "setresuid");
    check(sys.capset(keep, keep, CAP_NET_BIND_SERVICE), "capset");
    check(sys.setAmbient(Number(CAP_NET_BIND_SERVICE)), "ambient");
    equal(
      checkValue(sys.capget(), "capget"),
      { effective: keep, permitted: keep, inheritable: CAP_NET_BIND_SERVICE },
      "capget",
    );
    equal(
      ["CapBnd", "CapAmb", "CapInh", "CapPrm"].map(capabilities),
      [keep, CAP_NET_BIND_SERVICE, CAP_NET_BIND_SERVICE, keep],
      "/proc",
    );
    equal(sys.setAmbient(CAP_CHOWN), -sys.EPERM, "not inheritable");
  });
  throws(() => sys.capset(-1, 0, 0), "RangeError", "negative mask");
});

verify(GROUP, "a seccomp filter makes a call fail", () => {
  inChild(() => {
    check(sys.prctl(sys.PR_SET_NO_NEW_PRIVS, 1), "no new privileges");
    check(sys.seccompFilter(denyMkdir(), 0), "load the filter");
    equal(sys.mkdir(`${scratch}/denied`, 0o755), -sys.EACCES, "mkdir");
    equal(sys.rmdir(`${scratch}/denied`), -sys.ENOENT, "rmdir");
  });
  throws(() => sys.seccompFilter(new ArrayBuffer(7), 0), "RangeError", "not whole instructions");
  throws(() => sys.seccompFilter(new ArrayBuffer(0), 0), "RangeError", "no instruction");
});

/** struct sock_filter {u16 code, u8 jt, u8 jf, u32 k}: mkdir (83 on x86-64) gives EACCES, all else is allowed. */
function denyMkdir(): ArrayBuffer {
  const program = new ArrayBuffer(4 * 8);
  const view = new DataView(program);
  const instructions = [
    [0x20, 0, 0, 0],
    [0x15, 0, 1, 83],
    [0x06, 0, 0, 0x0005_0000 | sys.EACCES],
    [0x06, 0, 0, 0x7fff_0000],
  ] as const;
  for (const [index, [code, jt, jf, k]] of instructions.entries()) {
    view.setUint16(index * 8, code, true);
    view.setUint8(index * 8 + 2, jt);
    view.setUint8(index * 8 + 3, jf);
    view.setUint32(index * 8 + 4, k, true);
  }
  return program;
}

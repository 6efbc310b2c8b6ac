/** Mounts, in mount namespaces of their own. */
import * as sys from "sys";
import { exists, listDirectory, makeDirectories, readText, writeText } from "../runtime/files.ts";
import { check, equal, inChild, ok, scratch, throws, verify } from "./harness.ts";

const GROUP = "mounts";
const root = `${scratch}/mounts`;

function isolated(body: () => void): void {
  inChild(() => {
    check(sys.mount(null, "/", null, sys.MS_REC | sys.MS_PRIVATE), "make mounts private");
    makeDirectories(root);
    check(
      sys.mount("tmpfs", root, "tmpfs", sys.MS_NOSUID | sys.MS_NODEV, "size=1m,mode=755"),
      "mount a tmpfs",
    );
    check(sys.chdir(root), "enter");
    body();
  }, sys.CLONE_NEWNS);
}

verify(GROUP, "mount, remount, unmount", () => {
  isolated(() => {
    writeText("f", "x");
    equal(sys.mount(null, root, null, sys.MS_REMOUNT | sys.MS_RDONLY), 0, "remount");
    equal(sys.writeFile("g", "x"), -sys.EROFS, "read-only");
    equal(sys.umount2(root, 0), -sys.EBUSY, "busy");
    equal(sys.umount2(root, sys.MNT_DETACH), 0, "detach");
  });
  ok(!exists(`${root}/f`), "nothing is left outside");
});

verify(GROUP, "pivot_root on the spot", () => {
  isolated(() => {
    makeDirectories("new/proc");
    writeText("new/mark", "here");
    check(sys.mount("new", "new", null, sys.MS_BIND), "bind");
    check(sys.chdir("new"), "enter");
    check(sys.pivotRoot(".", "."), "pivot_root");
    check(sys.umount2(".", sys.MNT_DETACH), "detach");
    check(sys.chdir("/"), "enter");
    equal(readText("/mark"), "here", "the new root");
    equal(listDirectory("/").sort(), ["mark", "proc"], "nothing else");
  });
});

verify(GROUP, "a PID namespace has its own proc", () => {
  inChild(() => {
    equal(sys.getpid(), 1, "pid");
    check(sys.mount(null, "/", null, sys.MS_REC | sys.MS_PRIVATE), "private");
    check(sys.mount("proc", "/proc", "proc", 0), "mount proc");
    ok(readText("/proc/self/stat").startsWith("1 "), "its own numbers");
  }, sys.CLONE_NEWNS | sys.CLONE_NEWPID);
});

verify(GROUP, "a mount is cloned, changed and moved by descriptor", () => {
  isolated(() => {
    makeDirectories("source");
    makeDirectories("target");
    writeText("source/f", "x");
    const tree = check(
      sys.openTree(sys.AT_FDCWD, "source", sys.OPEN_TREE_CLONE | sys.AT_RECURSIVE),
      "open_tree",
    );
    const flags = sys.AT_EMPTY_PATH | sys.AT_RECURSIVE;
    check(
      sys.mountSetattr(tree, "", flags, sys.MOUNT_ATTR_RDONLY | sys.MOUNT_ATTR_NOEXEC, 0),
      "mount_setattr",
    );
    check(sys.moveMount(tree, "", sys.AT_FDCWD, "target", sys.MOVE_MOUNT_F_EMPTY_PATH), "move_mount");
    equal(readText("target/f"), "x", "content");
    equal(sys.writeFile("target/g", ""), -sys.EROFS, "read-only");
    equal(sys.writeFile("source/g", ""), 0, "the source is not");
  });
});

verify(GROUP, "host and domain names in a UTS namespace", () => {
  const before = sys.uname().nodename;
  inChild(() => {
    equal([sys.sethostname("blazar-test"), sys.setdomainname("example")], [0, 0], "set");
    equal(sys.uname().nodename, "blazar-test", "hostname");
  }, sys.CLONE_NEWUTS);
  equal(sys.uname().nodename, before, "ours is the old one");
});

verify(GROUP, "unshare and setns", () => {
  inChild(() => {
    const home = check(sys.open("/proc/self/ns/uts", sys.O_RDONLY), "open");
    const name = sys.uname().nodename;
    check(sys.unshare(sys.CLONE_NEWUTS), "unshare");
    check(sys.sethostname("elsewhere"), "sethostname");
    check(sys.setns(home, sys.CLONE_NEWUTS), "setns");
    equal(sys.uname().nodename, name, "back home");
  });
});

verify(GROUP, "modules and reboot refuse nonsense", () => {
  inChild(() => {
    const fd = check(sys.open("/dev/null", sys.O_RDONLY), "open");
    ok(sys.finitModule(fd, "", 0) < 0, "finit_module of no module");
    ok(sys.reboot(0x1234) < 0, "reboot with a bad command");
    throws(() => sys.reboot(2 ** 40), "RangeError", "reboot");
  });
});

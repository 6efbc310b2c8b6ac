/** Cases: where in a container volumes are mounted: odd paths, links of the image, volumes in volumes. */
import { mkdir, readdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import type { FidelityCase } from "../../case.ts";
import { failureOf, type HandlerPod } from "../../handler-pod.ts";
import { bind, readonlyBind, withKubelet } from "./volumes.ts";

/** An image with links that lead to something, to nothing, and in a ring. */
export const LINKS_IMAGE = "localhost/blazar/fidelity-links:latest";

/** 3,765 bytes, in names as long as a directory takes. */
const LONG = Array.from({ length: 15 }, (_, index) => `/${String.fromCharCode(97 + index).repeat(250)}`).join(
  "",
);

const TAKEN: readonly string[] = [
  ...["/a/../b/./c//d/", "/../../x", "relative/path", "/trailing/", LONG],
  ...["/with space", "/tab\there", "/new\nline", "/back\\slash", "/oct\\040al", "/ü/☃", "/quote'\"$(x)"],
  ...["/dev/sub", "/dev/shm/sub", "/sys/fs/cgroup", "/tmp"],
];
const REFUSED: readonly string[] = [
  ...["/", "/.", "/proc", "/proc/sys", "/x/../proc/self", "/bin/sh/x", `/${"n".repeat(256)}`],
];

const shown = (path: string) => (path.length > 100 ? `${path.length} bytes` : JSON.stringify(path));

/** Binds a directory with one file there, and runs a script, whose first argument is the path. */
function boundAt(path: string, script: string, more: Parameters<HandlerPod["run"]>[1] = {}) {
  return withKubelet(async (pod, kubelet) => {
    const directory = await kubelet.elsewhere("data");
    await writeFile(join(directory, "file"), "file\n");
    return pod.run(["sh", "-c", script, "sh", join("/", path)], { ...more, mounts: [bind(directory, path)] });
  });
}

const LINKS = { image: { image: LINKS_IMAGE } };

function overLink(path: string, script: string): FidelityCase {
  return { name: `destination: the image's link ${path}`, run: boundAt(path, script, LINKS) };
}

/** The image's /own is a link to /proc/self/root. */
const OWN_ROOT = "a link through /proc leads out of what a container's root may name: refused by name";

export const DESTINATION_CASES: readonly FidelityCase[] = [
  ...TAKEN.map((path): FidelityCase => {
    return { name: `destination: ${shown(path)}`, run: boundAt(path, 'cat "$1/file"; ls "$1"') };
  }),
  ...REFUSED.map((path): FidelityCase => {
    return {
      name: `destination: ${shown(path)} is refused`,
      run: (pod) => failureOf(boundAt(path, "true")(pod)),
    };
  }),
  overLink("/abs", "ls /real; ls -ld /abs | cut -c1"),
  overLink("/rel", "ls /real/deep"),
  overLink("/chain/new/x", "ls /real/deep/new/x"),
  overLink("/dangling", "ls /not/there /dangling; ls -ld /dangling | cut -c1"),
  overLink("/dangling/below", "ls /not/there/below"),
  overLink("/second", "ls /not/there /second"),
  overLink("/escape", "ls /outside"),
  { ...overLink("/own/real", "ls /real"), explained: OWN_ROOT },
  { ...overLink("/own/missing/x", "ls /missing/x"), explained: OWN_ROOT },
  {
    name: "destination: the image's links in a ring are refused",
    run: (pod) => failureOf(boundAt("/ring", "true", LINKS)(pod)),
  },
  {
    name: "destination: a file at the image's link to nothing",
    run: withKubelet(async (pod, kubelet) => {
      const file = join(await kubelet.elsewhere("data"), "file");
      await writeFile(file, "file\n");
      return pod.run("cat /not/there /dangling", { ...LINKS, mounts: [bind(file, "/dangling")] });
    }),
  },
  {
    name: "destination: the pod's files where the image has links to nothing, as of systemd-resolved",
    run: (pod) =>
      pod.run(
        "cd /etc; ls -l hosts resolv.conf hostname | cut -c1; for f in hosts resolv.conf hostname; do [ -s $f ] && echo $f; done; ls /run/systemd/resolve",
        LINKS,
      ),
  },
  {
    name: "destination: a volume at /etc has the pod's files in it, and so does the host",
    run: withKubelet(async (pod, kubelet) => {
      const directory = await kubelet.emptyDir("etc");
      const said = await pod.run("ls /etc; [ -s /etc/hosts ] && [ -s /etc/resolv.conf ] && echo filled", {
        mounts: [bind(directory, "/etc")],
      });
      return `${said} ${(await readdir(directory)).sort().join(" ")}`;
    }),
  },
  {
    name: "destination: a read-only volume at /etc that lacks the pod's files",
    run: withKubelet(async (pod, kubelet) => {
      const { directory } = await kubelet.projected("configmap", "etc", {
        passwd: "root:x:0:0::/:/bin/sh\n",
      });
      return failureOf(pod.run("true", { mounts: [readonlyBind(directory, "/etc")] }));
    }),
  },
  {
    name: "destination: a read-only volume at /etc that has places for the pod's files",
    run: withKubelet(async (pod, kubelet) => {
      const directory = await kubelet.elsewhere("etc");
      for (const name of ["hosts", "hostname", "resolv.conf"]) await writeFile(join(directory, name), "");
      const script =
        "ls /etc; [ -s /etc/hosts ] && [ -s /etc/hostname ] && [ -s /etc/resolv.conf ] && echo filled";
      return pod.run(script, { mounts: [readonlyBind(directory, "/etc")] });
    }),
  },
  {
    name: "destination: a file that may stand in for the kernel's (lxcfs)",
    run: withKubelet(async (pod, kubelet) => {
      const file = join(await kubelet.elsewhere("data"), "uptime");
      await writeFile(file, "1 2\n");
      return pod.run("cat /proc/uptime", { mounts: [bind(file, "/proc/uptime")] });
    }),
  },
  {
    name: "destination: the host's /dev at /dev",
    run: (pod) =>
      pod.run("echo x > /dev/null && head -c 2 /dev/zero | wc -c; stat -c '%F %t:%T' /dev/null", {
        mounts: [bind("/dev", "/dev")],
      }),
  },
  {
    name: "destination: disk, memory and files below each other",
    run: withKubelet(async (pod, kubelet) => {
      const disk = await kubelet.emptyDir("disk");
      const { directory } = await kubelet.projected("configmap", "files", { key: "value\n" });
      const mounts = [
        readonlyBind(directory, "/a/b/c"),
        bind(await kubelet.emptyDir("memory", 1024 * 1024), "/a/b"),
        bind(disk, "/a"),
      ];
      const script = "cat /a/b/c/key; touch /a/x /a/b/y; touch /a/b/c/z; ls /a /a/b";
      return `${await pod.run(script, { mounts })} ${(await readdir(disk)).sort().join(" ")}`;
    }),
  },
  {
    name: "destination: a volume that may be written to in one that may not",
    run: withKubelet(async (pod, kubelet) => {
      const outer = await kubelet.elsewhere("outer");
      await mkdir(join(outer, "inner"));
      const mounts = [readonlyBind(outer, "/d"), bind(await kubelet.emptyDir("disk"), "/d/inner")];
      const missing = [readonlyBind(outer, "/d"), bind(await kubelet.emptyDir("disk"), "/d/missing")];
      const said = await pod.run("touch /d/x; touch /d/inner/y && ls /d /d/inner", { mounts });
      return `${said} ${await failureOf(pod.run("true", { mounts: missing }))}`;
    }),
  },
  {
    name: "destination: one volume at several places, in itself, and another one over it",
    run: withKubelet(async (pod, kubelet) => {
      const volume = await kubelet.elsewhere("one");
      await mkdir(join(volume, "self"));
      const mounts = [bind(volume, "/d"), readonlyBind(volume, "/e"), bind(volume, "/d/self")];
      const script = "echo x > /d/f; cat /e/f /d/self/f; touch /e/g; ls /d /d/self/self";
      const other = await kubelet.elsewhere("two");
      const twice = [bind(volume, "/d"), bind(other, "/d")];
      return `${await pod.run(script, { mounts })} ${await pod.run("ls -A /d", { mounts: twice })}`;
    }),
  },
];

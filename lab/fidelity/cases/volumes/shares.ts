/** Cases: files and directories of the host that containers and the host use together. */
import { chmod, chown, link, mkdir, readFile, rename, rm, stat, symlink, writeFile } from "node:fs/promises";
import { createServer } from "node:net";
import { join } from "node:path";
import { MountPropagation } from "../../../../src/rpc/generated/runtime/v1/cri.ts";
import { runProgram } from "../../../host/program.ts";
import { until } from "../../../host/until.ts";
import type { FidelityCase } from "../../case.ts";
import { failureOf } from "../../handler-pod.ts";
import { bind, readonlyBind, withKubelet } from "./volumes.ts";

/** Type, mode and owner of a file of the host's. */
async function shown(path: string): Promise<string> {
  const { mode, uid, gid, size } = await stat(path);
  return `${mode.toString(8)} ${uid}:${gid} ${size}`;
}

export const SHARE_CASES: readonly FidelityCase[] = [
  {
    name: "a directory of the host: read and written on both sides",
    run: withKubelet(async (pod, kubelet) => {
      const directory = await kubelet.elsewhere("data");
      await writeFile(join(directory, "from-host"), "host\n");
      await chmod(join(directory, "from-host"), 0o640);
      await chown(join(directory, "from-host"), 12, 34);
      const script =
        "cd /d; cat from-host; stat -c '%a %u:%g %h' from-host; umask 027; echo guest > mine; mkdir sub; ln -s mine lnk; ln mine hard; chown 5:6 mine; rm from-host; ls -1";
      const said = await pod.run(script, { mounts: [bind(directory, "/d")] });
      const mine = join(directory, "mine");
      return `${said} ${await readFile(mine, "utf8")} ${await shown(mine)} ${await shown(join(directory, "sub"))}`;
    }),
  },
  {
    name: "a file of the host is bound, and is replaced on the host",
    run: withKubelet(async (pod, kubelet) => {
      const file = join(await kubelet.elsewhere("files"), "conf");
      await writeFile(file, "before\n");
      return pod.during(
        async (id) => {
          const before = await pod.execIn(id, "cat /conf; echo more >> /conf; stat -c %F /conf");
          const written = await readFile(file, "utf8");
          await writeFile(`${file}.new`, "after\n");
          await rename(`${file}.new`, file);
          // a bind is of the file, and not of its name
          return `${before} ${written} ${await pod.execIn(id, "cat /conf")}`;
        },
        "exec sleep 1000",
        { mounts: [bind(file, "/conf")] },
      );
    }),
  },
  {
    name: "what the host changes while a container runs",
    run: withKubelet(async (pod, kubelet) => {
      const directory = await kubelet.elsewhere("data");
      await writeFile(join(directory, "a"), "1\n");
      return pod.during(
        async (id) => {
          const first = await pod.execIn(id, "cat /d/a; ls /d");
          await writeFile(join(directory, "a"), "2\n");
          await writeFile(join(directory, "b"), "new\n");
          const second = await pod.execIn(id, "cat /d/a; ls /d");
          await rm(join(directory, "a"));
          await symlink("b", join(directory, "c"));
          return `${first} ${second} ${await pod.execIn(id, "cat /d/a /d/c; ls /d")}`;
        },
        "exec sleep 1000",
        { mounts: [bind(directory, "/d")] },
      );
    }),
  },
  {
    name: "a read-only directory of the host",
    run: withKubelet(async (pod, kubelet) => {
      const directory = await kubelet.elsewhere("data");
      await writeFile(join(directory, "a"), "1\n");
      const script =
        "cat /d/a; touch /d/a; rm /d/a; mkdir /d/x; chmod 777 /d/a; mount -o remount,rw /d; echo x > /d/a";
      return pod.run(script, { mounts: [readonlyBind(directory, "/d")] });
    }),
  },
  {
    name: "an emptyDir on disk, shared by two containers, one of which may only read",
    run: withKubelet(async (pod, kubelet) => {
      const directory = await kubelet.emptyDir("work");
      return pod.during(
        async (id) => {
          const other = await pod.run("until cat /r/note 2>/dev/null; do sleep 0.1; done; touch /r/x", {
            mounts: [readonlyBind(directory, "/r")],
          });
          return `${other} ${await pod.execIn(id, "ls -A /w; stat -c '%a %u:%g' /w")}`;
        },
        "echo shared > /w/note; exec sleep 1000",
        { mounts: [bind(directory, "/w")] },
      );
    }),
  },
  {
    name: "one part of a volume for an init container and for a main one (subPath)",
    run: withKubelet(async (pod, kubelet) => {
      const volume = await kubelet.elsewhere("claim");
      const [first, second] = [
        await kubelet.part(volume, "app/data", "init"),
        await kubelet.part(volume, "app/data", "main"),
      ];
      const said = await pod.run("echo prepared > /data/file; mkdir /data/dir", {
        mounts: [bind(first, "/data")],
      });
      const script = "cat /data/file; ls /data; cat /d2/file; [ /data/file -ef /d2/file ] && echo same";
      const then = await pod.run(script, { mounts: [bind(second, "/data"), bind(second, "/d2")] });
      return `${said} ${then} ${await readFile(join(volume, "app/data/file"), "utf8")}`;
    }),
  },
  {
    name: "a user that is not root, in a directory of a group (fsGroup)",
    run: withKubelet(async (pod, kubelet) => {
      const directory = await kubelet.elsewhere("claim");
      await chown(directory, 0, 2000);
      await chmod(directory, 0o2775);
      const user = { runAsUser: { value: 1000n }, runAsGroup: { value: 3000n }, supplementalGroups: [2000n] };
      const script =
        "echo x > /d/f; mkdir /d/s; stat -c '%a %u:%g' /d/f /d/s; chown 0 /d/f 2>&1; chmod 600 /d/f && echo mine";
      return pod.run(script, { linux: { securityContext: user }, mounts: [bind(directory, "/d")] });
    }),
  },
  {
    name: "mounts below a directory of the host: there before, and read-only with it",
    run: withKubelet(async (pod, kubelet) => {
      const directory = await kubelet.elsewhere("tree");
      await mkdir(join(directory, "sub"));
      await runProgram("mount", ["-t", "tmpfs", "-o", "size=64k", "tmpfs", join(directory, "sub")]);
      await writeFile(join(directory, "sub", "below"), "below\n");
      const mounts = [bind(directory, "/d"), readonlyBind(directory, "/r", { recursiveReadOnly: false })];
      return pod.run("cat /d/sub/below; echo w > /d/sub/w && cat /r/sub/w", { mounts });
    }),
  },
  {
    name: "mounts below a directory of the host, read-only with it by recursiveReadOnly",
    run: withKubelet(async (pod, kubelet) => {
      const directory = await kubelet.elsewhere("tree");
      await mkdir(join(directory, "sub"));
      await runProgram("mount", ["-t", "tmpfs", "-o", "size=64k", "tmpfs", join(directory, "sub")]);
      await writeFile(join(directory, "sub", "below"), "below\n");
      const mounts = [readonlyBind(directory, "/r", { recursiveReadOnly: true })];
      return pod.run("cat /r/sub/below; touch /r/x; touch /r/sub/x; ls /r/sub", { mounts });
    }),
  },
  {
    name: "an emptyDir on disk: kubelet sees what its sizeLimit is about",
    run: withKubelet(async (pod, kubelet) => {
      const directory = await kubelet.emptyDir("cache");
      const said = await pod.run(
        "dd if=/dev/zero of=/cache/big bs=64k count=48 2>/dev/null; du -k /cache/big",
        {
          mounts: [bind(directory, "/cache")],
        },
      );
      const used = Number.parseInt(await runProgram("du", ["-sk", directory]), 10);
      return `${said} ${used >= 3072 && used < 3200 ? "seen" : used}`;
    }),
  },
  {
    name: "a part of a volume that is named by a variable (subPathExpr)",
    run: withKubelet(async (pod, kubelet) => {
      const volume = await kubelet.elsewhere("logs");
      const named = async (name: string) => {
        // kubelet puts the variable's value in before it binds
        const part = await kubelet.part(volume, `pods/${name}`, name);
        const mounts = [bind(part, "/log")];
        return pod.run('echo "of $POD" > /log/out; cat /log/*', {
          envs: [{ key: "POD", value: name }],
          mounts,
        });
      };
      const said = [await named("a.b-1"), await named("c d"), await named("a.b-1")];
      const files = ["a.b-1", "c d"].map((name) => readFile(join(volume, "pods", name, "out"), "utf8"));
      return [...said, ...(await Promise.all(files))].join(" ");
    }),
  },
  {
    name: "what the host mounts later (HostToContainer)",
    run: withKubelet(async (pod, kubelet) => {
      const directory = await kubelet.elsewhere("tree");
      await runProgram("mount", ["--bind", directory, directory]);
      await runProgram("mount", ["--make-shared", directory]);
      await mkdir(join(directory, "late"));
      const propagation = MountPropagation.PROPAGATION_HOST_TO_CONTAINER;
      const mounts = [bind(directory, "/slave", { propagation }), bind(directory, "/private")];
      return pod.during(
        async (id) => {
          const before = await pod.execIn(id, "ls /slave/late");
          await runProgram("mount", ["-t", "tmpfs", "-o", "size=64k", "tmpfs", join(directory, "late")]);
          await writeFile(join(directory, "late", "file"), "late\n");
          const after = await pod.execIn(id, "ls /slave/late; ls /private/late | wc -l");
          // a file server lets go of what it has not used for some seconds
          await until("the host's umount", () =>
            runProgram("umount", [join(directory, "late")]).then(
              () => true,
              () => undefined,
            ),
          );
          return `${before} ${after} ${await pod.execIn(id, "ls /slave/late")}`;
        },
        "exec sleep 1000",
        { mounts },
      );
    }),
  },
  {
    name: "a socket of the host",
    explained: "nothing in a VM can connect to a socket of the host: refused by name",
    run: withKubelet(async (pod, kubelet) => {
      const path = join(await kubelet.elsewhere("sockets"), "s");
      const server = createServer().listen(path);
      try {
        return await failureOf(pod.run("true", { mounts: [bind(path, "/s")] }));
      } finally {
        server.close();
      }
    }),
  },
  {
    name: "names and links of the host that lead elsewhere",
    run: withKubelet(async (pod, kubelet) => {
      const directory = await kubelet.elsewhere("data");
      await symlink("/etc/passwd", join(directory, "absolute"));
      await symlink("../../../../../../etc/passwd", join(directory, "relative"));
      await writeFile(join(directory, "a name with\ttab and ünïcode"), "odd\n");
      await writeFile(join(directory, "one"), "1\n");
      await link(join(directory, "one"), join(directory, "two"));
      const script =
        "cd /d; head -1 absolute relative; cat a*\tname* a*tab* 2>/dev/null; stat -c '%h' one; [ one -ef two ] && echo same; cat ../../../../etc/group | head -1";
      return pod.run(script, { mounts: [bind(directory, "/d")] });
    }),
  },
  {
    name: "many files of the host",
    run: withKubelet(async (pod, kubelet) => {
      const directory = await kubelet.elsewhere("many");
      const names = Array.from({ length: 300 }, (_, index) => `file-${index}`);
      await Promise.all(names.map((name) => writeFile(join(directory, name), name)));
      const script =
        "ls /d | wc -l; cat /d/* | md5sum; rm /d/*; ls /d | wc -l; for i in 1 2 3 4 5 6 7 8 9; do echo $i > /d/$i; done; cat /d/*";
      return pod.run(script, { mounts: [bind(directory, "/d")] });
    }),
  },
  {
    name: "/etc/resolv.conf and /etc/hosts of somebody's own",
    run: withKubelet(async (pod, kubelet) => {
      const directory = await kubelet.elsewhere("etc");
      await writeFile(join(directory, "resolv.conf"), "nameserver 192.0.2.53\n");
      await writeFile(join(directory, "hosts"), "192.0.2.1 own\n");
      return pod.run("cat /etc/resolv.conf /etc/hosts", {
        mounts: [
          bind(join(directory, "resolv.conf"), "/etc/resolv.conf"),
          readonlyBind(join(directory, "hosts"), "/etc/hosts"),
        ],
      });
    }),
  },
];

/** Cases: what a kubelet binds into containers, and what they see of it. Those of shared files are in shares.ts. */
import { readFile } from "node:fs/promises";
import { MountPropagation } from "../../../../src/rpc/generated/runtime/v1/cri.ts";
import { until } from "../../../host/until.ts";
import { PodDirectory } from "../../../kubelet/pod-directory.ts";
import type { FidelityCase } from "../../case.ts";
import { type ContainerConfig, failureOf, type HandlerPod } from "../../handler-pod.ts";

/** An image with a VOLUME. */
export const VOLUME_IMAGE = "localhost/blazar/fidelity-volume:latest";

type Mount = NonNullable<ContainerConfig["mounts"]>[number];

/** A case with a kubelet's directory of its own. */
export function withKubelet(
  run: (pod: HandlerPod, kubelet: PodDirectory) => Promise<string>,
): FidelityCase["run"] {
  return async (pod) => {
    const kubelet = await PodDirectory.make();
    try {
      return await run(pod, kubelet);
    } finally {
      await kubelet.remove();
    }
  };
}

export function bind(hostPath: string, containerPath: string, more: Partial<Mount> = {}): Mount {
  return { hostPath, containerPath, ...more };
}

/** As kubelet mounts volumes whose files it writes. */
export function readonlyBind(hostPath: string, containerPath: string, more: Partial<Mount> = {}): Mount {
  return bind(hostPath, containerPath, { readonly: true, ...more });
}

const NONROOT: ContainerConfig = {
  linux: { securityContext: { runAsUser: { value: 1000n }, supplementalGroups: [2000n] } },
};

/** Asks until the answer is another one than before. */
async function changed(pod: HandlerPod, id: string, script: string, before: string): Promise<string> {
  return until("a change in the container", async () => {
    const answer = await pod.execIn(id, script);
    return answer === before ? undefined : answer;
  });
}

const thousand = (text: string) =>
  Object.fromEntries(Array.from({ length: 1000 }, (_, index) => [`key-${index}`, `${text} ${index}`]));

export const VOLUME_CASES: readonly FidelityCase[] = [
  {
    name: "a configMap",
    run: withKubelet(async (pod, kubelet) => {
      const files = { "app.conf": "port = 1\n", "run.sh": "#!/bin/sh\necho run\n" };
      const { directory } = await kubelet.projected("configmap", "config", files, { mode: 0o755 });
      const script =
        "cd /etc/app; cat app.conf; ./run.sh; ls -A; readlink app.conf; stat -c '%a %u:%g %F' . ..data/app.conf; touch x";
      return pod.run(script, { mounts: [readonlyBind(directory, "/etc/app")] });
    }),
  },
  {
    name: "a configMap that changes while a container runs",
    run: withKubelet(async (pod, kubelet) => {
      const volume = await kubelet.projected("configmap", "config", { a: "1", b: "1" });
      return pod.during(
        async (id) => {
          const script = "cat /c/a; ls /c";
          const before = await pod.execIn(id, script);
          await volume.write({ a: "2", c: "2" });
          const after = await changed(pod, id, script, before);
          await volume.write({ a: "3", c: "2" });
          return [
            before,
            after,
            await changed(pod, id, script, after),
            await pod.execIn(id, "ls -A /c | wc -l"),
          ].join(" ");
        },
        "exec sleep 1000",
        { mounts: [readonlyBind(volume.directory, "/c")] },
      );
    }),
  },
  {
    name: "1,000 files of a configMap, all of which change",
    run: withKubelet(async (pod, kubelet) => {
      const volume = await kubelet.projected("configmap", "config", thousand("first"));
      return pod.during(
        async (id) => {
          const script = "cat /c/key-999; ls /c | wc -l";
          const before = await pod.execIn(id, script);
          await volume.write(thousand("second"));
          return `${before} ${await changed(pod, id, script, before)} ${await pod.execIn(id, "cat /c/key-* | md5sum")}`;
        },
        "exec sleep 1000",
        { mounts: [readonlyBind(volume.directory, "/c")] },
      );
    }),
  },
  {
    name: "a secret that a group may read",
    run: withKubelet(async (pod, kubelet) => {
      const access = { group: 2000, mode: 0o440 };
      const { directory } = await kubelet.projected("secret", "key", { token: "s3cret" }, access);
      const script = "id; cat /s/token; stat -L -c '%a %u:%g' /s /s/token; grep -c ' /s ' /proc/mounts";
      return pod.run(script, { ...NONROOT, mounts: [readonlyBind(directory, "/s")] });
    }),
  },
  {
    name: "a service account's token below /var/run",
    run: withKubelet(async (pod, kubelet) => {
      const files = { token: "t", "ca.crt": "c", namespace: "default" };
      const { directory } = await kubelet.projected("projected", "kube-api-access-abcde", files);
      const place = "/var/run/secrets/kubernetes.io/serviceaccount";
      return pod.run(`cd ${place}; cat token ca.crt namespace; touch x`, {
        mounts: [readonlyBind(directory, place)],
      });
    }),
  },
  {
    name: "a termination log",
    run: withKubelet(async (pod, kubelet) => {
      const log = await kubelet.terminationLog("main");
      const said = await pod.run("cat /dev/termination-log; echo last words > /dev/termination-log; exit 3", {
        mounts: [bind(log, "/dev/termination-log")],
      });
      return `${said} ${await readFile(log, "utf8")}`;
    }),
  },
  {
    name: "a termination log of a container that is killed",
    run: withKubelet(async (pod, kubelet) => {
      const log = await kubelet.terminationLog("main");
      await pod.during(
        (id) => pod.execIn(id, "until [ -s /log ]; do sleep 0.1; done"),
        "echo before > /log; exec sleep 1000",
        { mounts: [bind(log, "/log")] },
      );
      return readFile(log, "utf8");
    }),
  },
  {
    name: "kubelet's /etc/hosts",
    run: withKubelet(async (pod, kubelet) => {
      const hosts = await kubelet.hostsFile("127.0.0.1\tlocalhost\n10.1.2.3\tfoo.remote\tbar.remote\n");
      return pod.run("cat /etc/hosts; echo '10.0.0.1 mine' >> /etc/hosts; tail -1 /etc/hosts", {
        mounts: [bind(hosts, "/etc/hosts")],
      });
    }),
  },
  {
    name: "an emptyDir in memory: its size, and whom it belongs to",
    run: withKubelet(async (pod, kubelet) => {
      const directory = await kubelet.emptyDir("cache", 16 * 1024 * 1024);
      const script =
        "df -k /m | tail -1 | awk '{print $2, $3}'; stat -c '%a %u:%g' /m; id -u; echo mine > /m/x; cat /m/x; head -c 20000000 /dev/zero > /m/big; ls -l /m/big | awk '{print $5}'";
      return pod.run(script, { ...NONROOT, mounts: [bind(directory, "/m")] });
    }),
  },
  {
    name: "an emptyDir in memory outlives a container, and its part is the same files",
    run: withKubelet(async (pod, kubelet) => {
      const directory = await kubelet.emptyDir("cache", 1024 * 1024);
      const part = await kubelet.part(directory, "deep/part", "second");
      const first = await pod.run("mkdir -p /m/deep/part; echo kept > /m/deep/part/note", {
        mounts: [bind(directory, "/m")],
      });
      return `${first} ${await pod.run("cat /p/note", { mounts: [bind(part, "/p")] })}`;
    }),
  },
  {
    name: "a part of an emptyDir in memory that an init container has given away",
    run: withKubelet(async (pod, kubelet) => {
      const directory = await kubelet.emptyDir("cache", 1024 * 1024);
      const script = "mkdir -m 750 /m/theirs; chown 1000:2000 /m/theirs; echo made > /m/file; echo ready";
      const first = await pod.run(script, { mounts: [bind(directory, "/m")] });
      const part = await kubelet.part(directory, "theirs", "main");
      const second = await pod.run("stat -c '%a %u:%g' /p; echo mine > /p/x && cat /p/x", {
        ...NONROOT,
        mounts: [bind(part, "/p")],
      });
      return `${first} ${second}`;
    }),
  },
  {
    name: "an emptyDir in memory at /dev/shm",
    run: withKubelet(async (pod, kubelet) => {
      const directory = await kubelet.emptyDir("shm", 128 * 1024 * 1024);
      const mounts = [bind(directory, "/dev/shm")];
      return pod.during(
        () => pod.run("df -k /dev/shm | tail -1 | awk '{print $2}'; cat /dev/shm/note", { mounts }),
        "echo shared > /dev/shm/note; exec sleep 1000",
        { mounts },
      );
    }),
  },
  {
    name: "a part of a configMap, as a file over one of the image's",
    run: withKubelet(async (pod, kubelet) => {
      const volume = await kubelet.projected("configmap", "config", { motd: "from a map\n" });
      const part = await kubelet.filePart(volume.directory, "..data/motd", "main");
      return pod.run("cat /etc/passwd; touch /etc/passwd", { mounts: [readonlyBind(part, "/etc/passwd")] });
    }),
  },
  {
    name: "a volume below another one, and destinations that are missing",
    run: withKubelet(async (pod, kubelet) => {
      const outer = await kubelet.emptyDir("outer", 1024 * 1024);
      const { directory: inner } = await kubelet.projected("configmap", "inner", { file: "inner\n" });
      const script = "cat /a/b/c/d/file; ls /a/b; stat -c %F /a/b/c; touch /a/b/x && echo written";
      return pod.run(script, { mounts: [readonlyBind(inner, "/a/b/c/d"), bind(outer, "/a/b")] });
    }),
  },
  {
    name: "a file where the image has a directory",
    run: withKubelet(async (pod, kubelet) => {
      const log = await kubelet.terminationLog("main");
      return failureOf(pod.run("true", { mounts: [bind(log, "/etc")] }));
    }),
  },
  {
    name: "a directory where the image has a file",
    run: withKubelet(async (pod, kubelet) => {
      const { directory } = await kubelet.projected("configmap", "config", { a: "1" });
      return failureOf(pod.run("true", { mounts: [readonlyBind(directory, "/etc/passwd")] }));
    }),
  },
  {
    name: "a destination behind a link of the image",
    run: withKubelet(async (pod, kubelet) => {
      const { directory } = await kubelet.projected("configmap", "config", { a: "1" });
      // /proc/self/root leads to the container's own root, whoever follows it
      return pod.run("cat /bin/x/a; ls /bin/x", { mounts: [readonlyBind(directory, "/bin/x")] });
    }),
  },
  {
    name: "a volume that is an OCI image",
    run: (pod) =>
      pod.run(
        "cd /image/volume; ls -A; cat initial; stat -c '%a %u:%g' initial; touch x; head -1 ../etc/passwd",
        {
          mounts: [{ containerPath: "/image", readonly: true, image: { image: VOLUME_IMAGE } }],
        },
      ),
  },
  {
    name: "a VOLUME of an image, which has something in it",
    run: (pod) =>
      pod.run(
        "cd /volume; ls -A; cat link; stat -c '%n %a %u:%g' . initial; echo x > new && cat new; grep -c ' /volume ' /proc/mounts; ls -A /made/volume; touch /made/volume/x && echo made; touch /z",
        {
          image: { image: VOLUME_IMAGE },
          linux: { securityContext: { readonlyRootfs: true } },
        },
      ),
  },
  {
    name: "a VOLUME of an image is new in every container",
    run: async (pod) => {
      const image = { image: { image: VOLUME_IMAGE } };
      const first = await pod.run("rm /volume/initial; echo x > /volume/x; ls /volume", image);
      return `${first} ${await pod.run("ls /volume", image)}`;
    },
  },
  {
    name: "a device of the host that is bound",
    run: withKubelet((pod) =>
      pod.run("stat -c '%F %t:%T' /fuse; head -c 1 /fuse 2>&1 | tail -c 24", {
        mounts: [bind("/dev/fuse", "/fuse")],
      }),
    ),
  },
  {
    name: "mounts that would go to the host (Bidirectional)",
    explained: "mounts in a VM cannot reach the host: refused by name",
    run: withKubelet(async (pod, kubelet) => {
      const directory = await kubelet.emptyDir("cache", 1024 * 1024);
      const propagation = MountPropagation.PROPAGATION_BIDIRECTIONAL;
      return failureOf(pod.run("true", { mounts: [bind(directory, "/m", { propagation })] }));
    }),
  },
];

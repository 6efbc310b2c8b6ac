/** Cases: the process and its standard streams. */
import type { FidelityCase } from "../case.ts";
import { failureOf } from "../handler-pod.ts";

const services = Array.from({ length: 5_000 }, (_, each) => ({
  key: `SERVICE_${each}_PORT_8080_TCP_ADDR`,
  value: "10.0.0.1",
}));

export const PROCESS_CASES: readonly FidelityCase[] = [
  {
    name: "5,000 supplementary groups",
    run: (pod) => {
      const supplementalGroups = Array.from({ length: 5_000 }, (_, index) => BigInt(20_000 + index));
      return pod.run("id -G | wc -w", { linux: { securityContext: { supplementalGroups } } });
    },
  },
  { name: "exit codes are the command's", run: (pod) => pod.run("exit 7") },
  { name: "a killing signal is 128 and its number", run: (pod) => pod.run("kill -TERM $$; sleep 5") },
  {
    name: "the user, its group and further groups",
    run: (pod) =>
      pod.run("id -u; id -g; id -G", {
        linux: {
          securityContext: {
            runAsUser: { value: 1000n },
            runAsGroup: { value: 2000n },
            supplementalGroups: [3000n],
          },
        },
      }),
  },
  {
    name: "a user by name",
    run: (pod) => pod.run("id; echo $HOME", { linux: { securityContext: { runAsUsername: "nobody" } } }),
  },
  {
    name: "the last of two variables with one name counts",
    run: (pod) =>
      pod.run("echo $TWICE; env | grep -c TWICE", {
        envs: [
          { key: "TWICE", value: "1" },
          { key: "TWICE", value: "2" },
        ],
      }),
  },
  {
    name: "an empty HOME is filled in",
    run: (pod) => pod.run("echo $HOME", { envs: [{ key: "HOME", value: "" }] }),
  },
  { name: "HOME of an exec", run: (pod) => pod.exec("echo $HOME") },
  {
    name: "5,000 variables",
    run: (pod) => pod.run("env | grep -c SERVICE_", { envs: services }),
  },
  {
    name: "1.5 MB of arguments",
    run: (pod) => pod.run(["sh", "-c", "echo $#", ...Array.from({ length: 15 }, () => "x".repeat(100_000))]),
  },
  {
    name: "an argument that is longer than the kernel takes",
    run: (pod) => failureOf(pod.run(["echo", "x".repeat(140_000)])),
    explained:
      "a command that cannot be executed is told to the start; under runc the container starts and ends with an error",
  },
  {
    name: "a working directory that is missing is made",
    run: (pod) => pod.run("pwd; ls -ld . | cut -c1-10", { workingDir: "/made/for/it" }),
  },
  {
    name: "a working directory that is a file",
    run: (pod) => failureOf(pod.run("pwd", { workingDir: "/etc/passwd" })),
  },
  { name: "a command that is not there", run: (pod) => failureOf(pod.run(["no-such-program"])) },
  { name: "a command that cannot be executed", run: (pod) => failureOf(pod.run(["/etc/passwd"])) },
  {
    name: "an exec of a command that is not there",
    run: (pod) => failureOf(pod.during((id) => pod.cri.execSync(id, ["no-such-program"]), "exec sleep 1000")),
  },
  {
    name: "a PATH with parts that are not absolute",
    run: async (pod) => {
      const outcomes: string[] = [];
      for (const value of [
        ".:/bin",
        "/bin:.",
        "bin",
        ":/bin",
        "/bin:",
        "",
        "/nowhere:/bin/",
        "/etc/passwd:/bin",
      ]) {
        const more = { envs: [{ key: "PATH", value }], workingDir: "/bin" };
        outcomes.push(await failureOf(pod.run(["echo", "found"], more)));
      }
      return outcomes.join(", ");
    },
  },
  {
    name: "a command in the working directory, by a path that is not absolute",
    run: (pod) => pod.run(["./echo", "found"], { workingDir: "/bin" }),
  },
  {
    name: "a working directory that is missing, in a root that is read-only",
    run: (pod) =>
      pod.run("pwd", { workingDir: "/made/for/it", linux: { securityContext: { readonlyRootfs: true } } }),
  },
  { name: "umask", run: (pod) => pod.run("umask") },
  {
    name: "open files, soft and hard",
    run: (pod) => pod.run("ulimit -n; ulimit -Hn"),
    explained:
      "runc passes on the limits that containerd runs with; blazar gives those that systemd gives to containerd",
  },
  {
    name: "processes of a user",
    run: (pod) => pod.run("ulimit -u", { linux: { securityContext: { runAsUser: { value: 1000n } } } }),
    explained:
      "runc passes on the limit that containerd runs with; systemd gives containerd none, and neither does blazar",
  },
  {
    name: "the other limits",
    run: (pod) => pod.run("ulimit -c; ulimit -d; ulimit -f; ulimit -s; ulimit -t; ulimit -v"),
  },
  {
    name: "the score for the OOM killer",
    run: (pod) => pod.run("cat /proc/self/oom_score_adj", { linux: { resources: { oomScoreAdj: 500 } } }),
  },
  { name: "capabilities by default", run: (pod) => pod.run("grep Cap /proc/self/status") },
  {
    name: "capabilities added and dropped",
    run: (pod) =>
      pod.run("grep Cap /proc/self/status", {
        linux: {
          securityContext: { capabilities: { addCapabilities: ["NET_ADMIN"], dropCapabilities: ["CHOWN"] } },
        },
      }),
  },
  {
    name: "capabilities of another user",
    run: (pod) =>
      pod.run("grep Cap /proc/self/status", { linux: { securityContext: { runAsUser: { value: 1000n } } } }),
  },
  {
    name: "capabilities of a privileged container",
    pod: { linux: { securityContext: { privileged: true } } },
    run: (pod) => pod.run("grep Cap /proc/self/status", { linux: { securityContext: { privileged: true } } }),
  },
  {
    name: "no new privileges",
    run: (pod) =>
      pod.run("grep NoNewPrivs /proc/self/status", { linux: { securityContext: { noNewPrivs: true } } }),
  },
  {
    name: "the terminal and its size",
    run: (pod) =>
      pod
        .type(["stty size; tty; exit 3\n"], [100, 40])
        .then((screen) => (/40 100[\s\S]*\/dev\/pts\/0/.test(screen) ? `seen, ${screen.slice(-6)}` : screen)),
  },
  {
    name: "the output of a child that outlives its exec",
    run: (pod) => pod.exec("(sleep 1; echo late) & echo ok"),
  },
  {
    name: "the output of a child that outlives its container",
    run: (pod) => pod.run("(sleep 1; echo late) & echo ok"),
  },
  {
    name: "megabytes of output",
    run: (pod) =>
      pod
        .exec("head -c 3000000 /dev/zero | tr '\\0' 'x' | md5sum; head -c 3000000 /dev/zero | tr '\\0' 'y'")
        .then((text) => `${text.slice(0, 40)} ${text.length}`),
  },
];

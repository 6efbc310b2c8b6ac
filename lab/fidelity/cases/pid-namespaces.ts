/** Cases: PID namespaces that containers share: the pod's, and that of a target container (kubectl debug). */
import { NamespaceMode } from "../../../src/rpc/generated/runtime/v1/cri.ts";
import type { FidelityCase } from "../case.ts";
import { type ContainerConfig, failureOf } from "../handler-pod.ts";

const SLEEP = "exec sleep 1000";
const shared: ContainerConfig & { linux: object } = {
  linux: { securityContext: { namespaceOptions: { pid: NamespaceMode.POD } } },
};
const of = (targetId: string): ContainerConfig => ({
  linux: { securityContext: { namespaceOptions: { pid: NamespaceMode.TARGET, targetId } } },
});
const sharing = (name: string, run: FidelityCase["run"]): FidelityCase => ({
  name: `shared PID namespace: ${name}`,
  pod: shared,
  run,
});
/** The pid of the process with these two words; only that one, and not a shell that has them in its script. */
const pidOf = (program: string, argument: string) =>
  `ps -o pid,args | awk '$2 == "${program}" && $3 == "${argument}" { print $1 }'`;
/** Waits for what a neighbour does. */
const eventually = (command: string) =>
  `i=0; until ${command} || [ $i = 100 ]; do sleep 0.1; i=$((i+1)); done`;

export const PID_NAMESPACE_CASES: readonly FidelityCase[] = [
  sharing("kill -9 -1 ends the neighbours, and the pod lives", (pod) =>
    pod.during(
      async (id) => {
        const said = await pod.run("kill -9 -1; echo still", shared);
        const { exitCode } = await pod.ended(id);
        const { status } = await pod.cri.podSandboxStatus(pod.id);
        return `${said} ${exitCode} ${status?.state} ${await pod.run("echo next", shared)}`;
      },
      SLEEP,
      shared,
    ),
  ),
  sharing("nothing that a container does to process 1 ends the pod", (pod) =>
    pod.during(
      async (id) => {
        const said = await pod.execIn(
          id,
          "for s in KILL STOP TERM INT HUP QUIT SEGV; do kill -$s 1 || echo refused; done; echo x 2>&1 > /proc/1/oom_score_adj; sleep 0.3; echo on",
        );
        return `${said} ${await pod.run("echo next", shared)}`;
      },
      SLEEP,
      shared,
    ),
  ),
  {
    ...sharing("the root of process 1", (pod) =>
      pod.run("ls /proc/1/root/bin > /dev/null 2>&1 && echo seen || echo hidden", shared),
    ),
    explained: "runc's is that of the pause container; a guest has none, and its process 1 shows nothing",
  },
  sharing("what a container leaves behind ends with it", (pod) =>
    pod.during(
      async (id) => {
        const said = await pod.run("(setsid sleep 5151 > /dev/null 2>&1 &); sleep 5151 & echo up", shared);
        return `${said} ${await pod.execIn(id, "ps -o args | grep -c '^sleep 5151'; true")}`;
      },
      SLEEP,
      shared,
    ),
  ),
  sharing("orphans of an exec are reaped", (pod) =>
    pod.during(
      (id) => pod.execIn(id, "(sleep 0.1 &); (sleep 0.1 &); sleep 0.6; ps -o stat,args | grep -c '^Z'; true"),
      SLEEP,
      shared,
    ),
  ),
  sharing("a neighbour's files, by /proc", (pod) =>
    pod.during(
      async () => {
        const script = [
          eventually(`[ -n "$(${pidOf("sleep", "6161")})" ]`),
          `p=$(${pidOf("sleep", "6161")})`,
          "cat /proc/$p/root/mine; readlink /proc/$p/exe; tr '\\0' '\\n' < /proc/$p/environ | grep SECRET",
        ];
        return pod.run(script.join("; "), shared);
      },
      "echo mine > /mine; export SECRET=s; exec sleep 6161",
      shared,
    ),
  ),
  sharing("a neighbour of another user is out of reach", (pod) =>
    pod.during(
      async (id) => {
        const script = [
          eventually(`[ -n "$(${pidOf("sleep", "6262")})" ]`),
          `p=$(${pidOf("sleep", "6262")})`,
          "kill $p 2>&1 | sed 's/pid [0-9]*/pid/'",
          "cat /proc/$p/environ > /dev/null 2>&1 && echo seen || echo hidden",
          "ls /proc/$p/root/ > /dev/null 2>&1 && echo seen || echo hidden",
        ];
        const said = await pod.run(script.join("; "), {
          linux: { securityContext: { ...shared.linux.securityContext, runAsUser: { value: 1000n } } },
        });
        return `${said} ${await pod.execIn(id, "echo on")}`;
      },
      "exec sleep 6262",
      shared,
    ),
  ),
  sharing("a container that stops all others, over and over", (pod) =>
    pod.during(
      async (id) => {
        await pod.execIn(id, "true").catch(() => undefined);
        await pod.cri.stopContainer(id, 0);
        return `${(await pod.ended(id)).exitCode} ${await pod.run("echo next", shared)}`;
      },
      "i=0; while [ $i -lt 50 ]; do kill -STOP -1; kill -CONT -1; i=$((i+1)); done; exec sleep 1000",
      shared,
    ),
  ),
  {
    name: "target container: its processes and its root are seen, and can be ended",
    run: (pod) =>
      pod.during(async (id) => {
        const said = await pod.run(
          "ps -o args | grep -c '[s]leep 7171'; cat /proc/1/root/mine; kill -TERM 1; echo asked",
          of(id),
        );
        return `${said} ${(await pod.ended(id)).exitCode}`;
        // ends only after whoever has asked for it, whom its end would kill
      }, "echo mine > /mine; trap 'sleep 3; exit 8' TERM; sleep 7171 & wait"),
  },
  {
    name: "target container: whoever is in its namespace ends with it",
    run: (pod) =>
      pod.during(async (target) => {
        const debug = pod.run(SLEEP, of(target));
        await pod.execIn(target, eventually("[ $(ps -o args | grep -c '^sleep 1000') = 2 ]"));
        await pod.cri.stopContainer(target, 0);
        return debug;
      }, SLEEP),
  },
  {
    name: "target container: one that has ended, and one that never was",
    run: async (pod) => {
      const gone = await pod.during(async (id) => {
        await pod.cri.stopContainer(id, 0);
        return failureOf(pod.run("true", of(id)));
      }, SLEEP);
      return `${gone} ${await failureOf(pod.run("true", of("0".repeat(64))))}`;
    },
  },
];

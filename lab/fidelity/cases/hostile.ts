/** Cases: containers that do what they can against their own pod, their neighbours and whoever looks after them. */
import type { FidelityCase } from "../case.ts";
import { type ContainerConfig, failureOf } from "../handler-pod.ts";
import { bind, withKubelet } from "./volumes/volumes.ts";

const SLEEP = "exec sleep 1000";
/** What kubelet asks for, for every container that is not privileged. */
const AS_KUBELET: ContainerConfig = {
  linux: {
    securityContext: {
      maskedPaths: [
        ...[
          "/proc/asound",
          "/proc/acpi",
          "/proc/kcore",
          "/proc/keys",
          "/proc/latency_stats",
          "/proc/timer_list",
        ],
        ...["/proc/timer_stats", "/proc/sched_debug", "/proc/scsi", "/sys/firmware"],
      ],
      readonlyPaths: ["/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"],
    },
  },
};

export const HOSTILE_CASES: readonly FidelityCase[] = [
  {
    name: "hostile: a fork bomb inside its limit of processes disturbs no neighbour and can be stopped",
    baseSpec: true,
    run: (pod) =>
      pod.during(
        async (bomb) => {
          await pod.execIn(bomb, "true").catch(() => undefined);
          const neighbour = await pod.exec(
            "i=0; while [ $i -lt 20 ]; do sleep 0.01; i=$((i+1)); done; echo on",
          );
          await pod.cri.stopContainer(bomb, 0);
          const { exitCode } = await pod.ended(bomb);
          return `${neighbour}, ${exitCode}, ${await pod.exec("echo after")}`;
        },
        [
          "sh",
          "-c",
          "trap '' TERM; b() { b 2>/dev/null | b 2>/dev/null & }; b; while :; do b; done 2>/dev/null",
        ],
      ),
  },
  {
    name: "hostile: /dev/shm is filled: the writer is told, and the pod's others see it",
    pod: {},
    run: (pod) =>
      pod.during(async (id) => {
        const filled = await pod.run(
          "dd if=/dev/zero of=/dev/shm/x bs=1M 2>&1 | grep -o 'No space left.*'; df -k /dev/shm | tail -1 | awk '{print $4}'",
        );
        const seen = await pod.execIn(
          id,
          "touch /dev/shm/y; echo more > /dev/shm/y; rm /dev/shm/x; echo z > /dev/shm/y; cat /dev/shm/y",
        );
        return `${filled} ${seen}`;
      }, SLEEP),
  },
  {
    name: "hostile: what is in /dev/shm counts against the limit of whoever writes it",
    run: (pod) =>
      pod.run("dd if=/dev/zero of=/dev/shm/big bs=1M count=60 2>/dev/null; echo $?; rm -f /dev/shm/big", {
        linux: { resources: { memoryLimitInBytes: 32n << 20n } },
      }),
  },
  {
    name: "hostile: an emptyDir in memory is filled with bytes, and with files",
    run: withKubelet(async (pod, kubelet) => {
      const mounts = [bind(await kubelet.emptyDir("memory", 1 << 20), "/m")];
      const script =
        "dd if=/dev/zero of=/m/x bs=64k 2>&1 | grep -o 'No space left.*'; stat -c %s /m/x; rm /m/x; echo again > /m/y && cat /m/y";
      return pod.run(script, { mounts });
    }),
  },
  {
    name: "hostile: /proc cannot be used against the machine",
    run: (pod) =>
      pod.run(
        "for f in sysrq-trigger sys/kernel/core_pattern sys/kernel/modprobe sys/vm/drop_caches sys/fs/binfmt_misc/register; do (echo x > /proc/$f) 2> /dev/null && echo $f is written; done; cat /proc/kcore 2>/dev/null | head -c 1 | wc -c; cat /proc/keys /proc/timer_list 2>/dev/null | wc -c; ls /proc/acpi /proc/scsi 2>/dev/null | grep -v : | wc -w; ls /sys/firmware 2> /dev/null | wc -l",
        AS_KUBELET,
      ),
  },
  {
    name: "hostile: its own entries in /proc",
    run: (pod) =>
      pod.run(
        "echo 500 > /proc/self/oom_score_adj && cat /proc/self/oom_score_adj; (echo -900 > /proc/self/oom_score_adj) 2>&1 | sed 's/.*: //'; echo renamed > /proc/$$/comm; cat /proc/$$/comm; readlink /proc/1/exe /proc/1/cwd /proc/1/root; tr '\\0' ' ' < /proc/1/cmdline | cut -c1-12; cat /proc/1/sessionid /proc/1/loginuid | wc -l",
      ),
  },
  {
    name: "hostile: no descriptor of the runtime's is open in a container, nor in an exec",
    run: (pod) =>
      pod.during(
        (id) => pod.execIn(id, "for p in 1 $$; do ls /proc/$p/fd > /fds; tr '\\n' ' ' < /fds; done"),
        ["sleep", "1000"],
      ),
  },
  {
    name: "hostile: the process that starts an exec cannot be caught",
    run: (pod) =>
      pod.during(
        async (id) => {
          for (let each = 0; each < 5; each++) await pod.execIn(id, "true");
          return pod.execIn(id, "sort -u /caught 2>/dev/null; echo end");
        },
        // whoever is not of this container's own programs
        'while :; do for p in /proc/[0-9]*; do e=$(readlink $p/exe) && case $e in /bin/busybox) ;; *) echo "$e" >> /caught;; esac; done 2>/dev/null; done',
      ),
  },
  {
    name: "hostile: a container closes its streams and goes on",
    run: (pod) => pod.run("echo said; exec 0<&- 1>&- 2>&-; sleep 1; exit 5"),
  },
  {
    name: "hostile: an exec closes its streams and goes on",
    run: (pod) => pod.exec("echo said; exec 0<&- 1>&- 2>&-; sleep 1; exit 5"),
  },
  {
    name: "hostile: 300 zombies of its first process",
    run: (pod) =>
      pod.during(
        async (id) => {
          const zombies = "$(ps -o stat | grep -c '^Z')";
          // all of them wait for somebody who opens the gate
          const seen = await pod.execIn(
            id,
            `until [ -e /done ]; do sleep 0.1; done; until [ ${zombies} = 300 ]; do : > /gate; sleep 0.1; done; echo ${zombies}`,
          );
          return `${seen} ${await pod.execIn(id, "echo fine")}`;
        },
        // sleep never waits for the children that it has inherited from the shell
        "mkfifo /gate; i=0; while [ $i -lt 300 ]; do : < /gate & i=$((i+1)); done; touch /done; exec sleep 1000",
      ),
  },
  {
    name: "hostile: a container stops itself and what is below it",
    run: (pod) =>
      pod.during(async (id) => {
        const first = await pod.execIn(
          id,
          "until [ -e /up ]; do sleep 0.1; done; kill -STOP 1; kill -STOP -1; sleep 0.2; awk '{print $3}' /proc/1/stat",
        );
        return `${first} ${await pod.execIn(id, "echo on")}`;
      }, "sleep 1000 & touch /up; while :; do sleep 0.1; done"),
  },
  {
    name: "hostile: an exec that stops itself",
    run: (pod) =>
      pod.during(async (id) => {
        const outcome = await failureOf(pod.cri.execSync(id, ["sh", "-c", "kill -STOP $$; echo no"], 1));
        return `${outcome} ${await pod.execIn(id, "ps -o stat | grep -c '^T'; true")}`;
      }, SLEEP),
  },
  {
    name: "hostile: a daemon in a session of its own outlives its exec, and not its container",
    run: (pod) =>
      pod.during(async (id) => {
        const started = await pod.execIn(id, "setsid sleep 7531 > /dev/null 2>&1 < /dev/null & echo started");
        const seen = await pod.execIn(id, "ps -o ppid,args | grep '[s]leep 7531' | sed 's/^ *//'");
        return `${started} ${seen}`;
      }, SLEEP),
  },
  {
    name: "hostile: kill -9 -1 in a container, and in an exec",
    run: async (pod) => {
      const own = await pod.run("sleep 1000 & sleep 1000 & kill -9 -1; sleep 0.2; jobs | wc -l; exit 4");
      const exec = await pod.during(async (id) => {
        const killer = await pod.execIn(id, "kill -9 -1; echo still");
        return `${killer} ${await pod.execIn(id, "ps -o args | grep -c '[s]leep 1000'; true")}`;
      }, "sleep 1000 & exec sleep 2000");
      return `${own} ${exec}`;
    },
  },
  {
    name: "hostile: an exec that ends the first process",
    run: (pod) =>
      pod.during(async (id) => {
        // process 1 does not hear of a signal before it has a trap for it
        const script = "until [ -e /trapped ]; do sleep 0.1; done; kill -TERM 1; sleep 5; echo no";
        const said = await pod.execIn(id, script).catch((error) => String(error));
        return `${said} ${(await pod.ended(id)).exitCode}`;
      }, "trap 'exit 6' TERM; touch /trapped; while :; do sleep 0.1; done"),
  },
  {
    name: "hostile: execs that run when their container is killed",
    run: (pod) =>
      pod.during(async (id) => {
        const execs = Array.from({ length: 5 }, () => pod.execIn(id, "sleep 1000"));
        await pod.execIn(id, "until [ $(ps -o args | grep -c '^sleep 1000') = 6 ]; do sleep 0.1; done");
        await pod.cri.stopContainer(id, 0);
        return (await Promise.all(execs)).join(" ");
      }, SLEEP),
  },
  {
    name: "hostile: 2,000 files open, and locks on all of them",
    run: (pod) =>
      pod.run(
        'ulimit -n 4096; i=0; while [ $i -lt 500 ]; do eval "exec $((i+10))>/tmp/f$i" || break; i=$((i+1)); done; ls /proc/$$/fd > /fds; wc -l < /fds',
      ),
  },
  {
    name: "hostile: names that nobody expects",
    run: (pod) =>
      pod.run(
        "mkdir /w; cd /w; touch -- '-rf' '*' ' ' \"$(printf 'a\\nb')\" \"$(printf '\\377\\376')\"; ls -1 | wc -l; i=0; while [ $i -lt 200 ]; do mkdir dddddddddddddddddddd && cd dddddddddddddddddddd || break; i=$((i+1)); done; echo $i; pwd | wc -c",
      ),
  },
  {
    name: "hostile: the root of a container is moved under it",
    run: (pod) =>
      pod.during(async (id) => {
        const said = await pod.execIn(
          id,
          "mv /bin /nib; /nib/busybox ls -d /bin /nib; PATH=/nib; echo moved",
        );
        const next = await failureOf(pod.cri.execSync(id, ["sh", "-c", "true"]));
        return `${said} ${next}`;
      }, SLEEP),
  },
];

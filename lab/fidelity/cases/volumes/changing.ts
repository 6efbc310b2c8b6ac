/** Cases: volumes that change under load, and termination logs that are misused. */
import { readFile, stat } from "node:fs/promises";
import { join } from "node:path";
import { repoRoot } from "../../../../setup/lib/paths.ts";
import { compile } from "../../../host/compile.ts";
import { until } from "../../../host/until.ts";
import type { FidelityCase } from "../../case.ts";
import { bind, readonlyBind, withKubelet } from "./volumes.ts";

const MEBIBYTE = 1024n * 1024n;
/** kubelet reads that much. */
const READ = 4096;

const pair = (round: number) => ({ a: `${round}\n`, b: `${round}\n`, [`extra-${round % 3}`]: "x" });

const LOG = "/dev/termination-log";
const lastOf = async (path: string) => (await readFile(path)).subarray(-READ);

/** A termination log of a container that runs a script, and how it has ended. */
function terminationLog(name: string, script: string, more: object = {}): FidelityCase {
  return {
    name: `termination log: ${name}`,
    run: withKubelet(async (pod, kubelet) => {
      const log = await kubelet.terminationLog("main");
      const said = await pod.run(script, { ...more, mounts: [bind(log, LOG)] });
      const last = await lastOf(log);
      const { mode, uid, size } = await stat(log);
      const text =
        last.length > 100 ? `${last.length} of ${last.subarray(0, 10)}…${last.subarray(-10)}` : String(last);
      return `${said} ${JSON.stringify(text)} ${mode.toString(8)} ${uid} ${size > 0}`;
    }),
  };
}

export const CHANGING_VOLUME_CASES: readonly FidelityCase[] = [
  {
    name: "changing: a configMap is replaced 30 times while two containers read it",
    run: withKubelet(async (pod, kubelet) => {
      const volume = await kubelet.projected("configmap", "config", pair(0));
      const mounts = [readonlyBind(volume.directory, "/c")];
      // a state is read by its own name: two reads through ..data may see two states under any runtime
      const reader =
        'while [ ! -e /stop ]; do d=$(readlink /c/..data) && a=$(cat /c/$d/a 2>/dev/null) && b=$(cat /c/$d/b 2>/dev/null) && [ "$a" != "$b" ] && echo "$a $b" >> /mixed; done; exec sleep 1000';
      return pod.during(
        (first) =>
          pod.during(
            async (second) => {
              for (let round = 1; round <= 30; round++) await volume.write(pair(round));
              const both = [first, second];
              const seen = await Promise.all(
                both.map((id) =>
                  until("the last state", async () => {
                    const text = await pod.execIn(id, "cat /c/a /c/b; ls /c; ls -A /c | wc -l");
                    return text.startsWith("30\n30\n") && text.includes("\n5\n") ? text : undefined;
                  }),
                ),
              );
              const mixed = await Promise.all(
                both.map((id) => pod.execIn(id, "touch /stop; cat /mixed 2>/dev/null; echo end")),
              );
              return [...seen, ...mixed].join(" ");
            },
            reader,
            { mounts },
          ),
        reader,
        { mounts },
      );
    }),
  },
  {
    name: "changing: inotify tells of every state that stays",
    run: withKubelet(async (pod, kubelet) => {
      const volume = await kubelet.projected("secret", "key", { token: "0" });
      const watch = await compile("fidelity-watch", [
        join(repoRoot(), "lab", "fidelity", "programs", "watch.c"),
      ]);
      const counted = (id: string) =>
        pod.execIn(id, "grep -c -x '\\.\\.data' /events; grep -c watching /events");
      return pod.during(
        async (id) => {
          await until("the watch", async () => (await counted(id)).includes("\n1\n") || undefined);
          const seen: string[] = [];
          for (let round = 1; round <= 3; round++) {
            await volume.write({ token: `${round}` });
            await until(`state ${round}`, async () =>
              (await pod.execIn(id, "cat /s/token")).startsWith(String(round)) ? true : undefined,
            );
            seen.push(
              await until(`word of state ${round}`, async () => {
                const text = await counted(id);
                return text.startsWith(`${round}\n`) ? text : undefined;
              }),
            );
          }
          return seen.join(" ");
        },
        "exec /watch /s > /events",
        { mounts: [readonlyBind(volume.directory, "/s"), bind(watch, "/watch", { readonly: true })] },
      );
    }),
  },
  {
    name: "changing: a volume that is emptied, and filled again",
    run: withKubelet(async (pod, kubelet) => {
      const volume = await kubelet.projected("configmap", "config", { a: "1", b: "2" });
      return pod.during(
        async (id) => {
          const list = async (wanted: string) =>
            until(wanted, async () => {
              const seen = await pod.execIn(id, "ls /c | tr '\\n' ' '");
              return seen.startsWith(wanted) ? seen : undefined;
            });
          await volume.write({});
          const emptied = await list("exit");
          await volume.write({ c: "3" });
          return `${emptied} ${await list("c ")}`;
        },
        "exec sleep 1000",
        { mounts: [readonlyBind(volume.directory, "/c")] },
      );
    }),
  },
  terminationLog("nothing is written", "exit 3"),
  terminationLog(
    "5,000 bytes",
    `i=0; while [ $i -lt 500 ]; do printf '%09d\\n' $i; i=$((i+1)); done > ${LOG}; exit 3`,
  ),
  terminationLog("a megabyte", `yes 123456789 | head -c 1000000 > ${LOG}; exit 3`),
  terminationLog("bytes that are no text", `printf '\\377\\376\\000x' > ${LOG}`),
  terminationLog(
    "the container is killed",
    `echo dying > ${LOG}; kill -9 -1; kill -KILL $$; sleep 1; exit 1`,
  ),
  terminationLog("memory runs out", `echo growing > ${LOG}; exec tail /dev/zero`, {
    linux: { resources: { memoryLimitInBytes: 32n * MEBIBYTE } },
  }),
  terminationLog("it is removed, and moved", `rm ${LOG} 2>&1; mv ${LOG} /x 2>&1; echo there > ${LOG}`),
  terminationLog(
    "it is written over and cut",
    `echo long long text > ${LOG}; echo short > ${LOG}; echo more >> ${LOG}; truncate -s 3 ${LOG}`,
  ),
  terminationLog("by a user that is not root", `id -u; echo mine > ${LOG}; chmod 600 ${LOG}`, {
    linux: { securityContext: { runAsUser: { value: 1000n } } },
  }),
  terminationLog("a file with a hole", `truncate -s 100000 ${LOG}; echo end >> ${LOG}`),
  terminationLog("the root is read-only", `echo read-only > ${LOG}; touch /x; exit 2`, {
    linux: { securityContext: { readonlyRootfs: true } },
  }),
  {
    name: "termination log: it is written by an exec, and the container is stopped",
    run: withKubelet(async (pod, kubelet) => {
      const log = await kubelet.terminationLog("main");
      await pod.during((id) => pod.execIn(id, `echo by exec > ${LOG}`), "exec sleep 1000", {
        mounts: [bind(log, LOG)],
      });
      return String(await lastOf(log));
    }),
  },
  {
    name: "termination log: at another place, and for each start anew",
    run: withKubelet(async (pod, kubelet) => {
      const logs = [await kubelet.terminationLog("main"), await kubelet.terminationLog("main")];
      const said: string[] = [];
      for (const [index, log] of logs.entries())
        said.push(
          await pod.run(`cat /var/log/end; echo ${index} > /var/log/end; exit ${index}`, {
            mounts: [bind(log, "/var/log/end")],
          }),
        );
      return [...said, ...(await Promise.all(logs.map(lastOf))).map(String)].join(" ");
    }),
  },
];

/** Cases: many execs at once, large and odd ones, and their streams. */
import { PassThrough } from "node:stream";
import { until } from "../../host/until.ts";
import type { FidelityCase } from "../case.ts";
import { failureOf, type HandlerPod } from "../handler-pod.ts";

const SLEEP = "exec sleep 1000";
const STORM = 50;

/** A stream that keeps what comes. */
function kept(): { readonly stream: PassThrough; readonly text: () => string } {
  const chunks: Buffer[] = [];
  const stream = new PassThrough().on("data", (chunk: Buffer) => chunks.push(chunk));
  return { stream, text: () => Buffer.concat(chunks).toString() };
}

/** The answers of so many at once, in order; the same ones once. */
async function storm(pod: HandlerPod, script: (index: number) => string): Promise<string> {
  return pod.during(async (id) => {
    const all = await Promise.all(Array.from({ length: STORM }, (_, index) => pod.execIn(id, script(index))));
    return all.map((each) => each.replaceAll("\n", " ")).join("; ");
  }, SLEEP);
}

/** An exec by ctr, which has options that CRI lacks. */
const ctrExec = (pod: HandlerPod, id: string, options: readonly string[], ...command: string[]) =>
  pod.ctr(
    "tasks",
    "exec",
    ...options,
    "--exec-id",
    `e${Math.random().toString(36).slice(2)}`,
    id,
    ...command,
  );

const UNREAD = "under runc an exec that leaves input unread is never told to have ended; blazar tells it";
/** So that runc's does not hold up the others. */
const UNREAD_MS = 20_000;

export const EXEC_CASES: readonly FidelityCase[] = [
  {
    name: "exec: 50 at once, each with an exit code of its own",
    run: (pod) => storm(pod, (index) => `exit ${index}`),
  },
  {
    name: "exec: 50 at once, each with 300 KB of output on two streams",
    run: (pod) =>
      storm(
        pod,
        (index) =>
          `seq ${index * 50_000} ${index * 50_000 + 50_000} | md5sum; seq 1 50000 | head -c 300000 | md5sum >&2`,
      ),
  },
  {
    name: "exec: 20 at once, each with 1 MB of arguments",
    run: (pod) =>
      pod.during(async (id) => {
        const long = Array.from({ length: 10 }, (_, index) => String(index).repeat(100_000));
        const count = async (index: number) => {
          const command = ["sh", "-c", 'echo "$# $(echo "$*" | wc -c)"', `sh${index}`, ...long];
          const { exitCode, stdout } = await pod.cri.execSync(id, command);
          return `${Buffer.from(stdout).toString().trim()} ${exitCode}`;
        };
        const all = await Promise.all(Array.from({ length: 20 }, (_, index) => count(index)));
        return [...new Set(all)].join("; ");
      }, SLEEP),
  },
  {
    name: "exec: 20 at once, each with input of its own",
    run: (pod) =>
      pod.during(async (id) => {
        const one = async (index: number) => {
          const { stream, text } = kept();
          const streams = { stdin: new PassThrough(), stdout: stream };
          const remote = await pod.cri.exec(id, ["sh", "-c", "head -c 200000 | md5sum"], streams);
          for (let part = 0; part < 4; part++) await remote.write(Buffer.alloc(50_000, index));
          const code = await remote.exitCode;
          return `${text().slice(0, 8)} ${code}`;
        };
        return (await Promise.all(Array.from({ length: 20 }, (_, index) => one(index)))).join("; ");
      }, SLEEP),
  },
  {
    name: "exec: one that reads none of the megabytes that it is sent",
    run: (pod) =>
      pod.during(async (id) => {
        const remote = await pod.cri.exec(id, ["sh", "-c", "sleep 1; exit 3"], { stdin: new PassThrough() });
        for (let part = 0; part < 40; part++) remote.write(Buffer.alloc(50_000)).catch(() => undefined);
        return `${await remote.exitCode}, ${await pod.execIn(id, "echo on")}`;
      }, SLEEP),
    explained: UNREAD,
    mostMs: UNREAD_MS,
  },
  {
    name: "exec: one that closes its input early and writes on",
    run: (pod) =>
      pod.during(async (id) => {
        const { stream, text } = kept();
        const streams = { stdin: new PassThrough(), stdout: stream };
        const remote = await pod.cri.exec(id, ["sh", "-c", "exec 0<&-; sleep 0.5; echo on; exit 2"], streams);
        for (let part = 0; part < 20; part++) remote.write(Buffer.alloc(50_000)).catch(() => undefined);
        const code = await remote.exitCode;
        return `${text()}${code}`;
      }, SLEEP),
    explained: UNREAD,
    mostMs: UNREAD_MS,
  },
  {
    name: "exec: whose caller goes away",
    run: (pod) =>
      pod.during(async (id) => {
        const remote = await pod.cri.exec(id, ["sleep", "8642"], { stdin: new PassThrough() });
        remote.exitCode.catch(() => undefined);
        const there = "ps -o args | grep -c '^sleep 8642'; true";
        const before = await until("the exec", async () => {
          const seen = await pod.execIn(id, there);
          return seen.startsWith("1") ? seen : undefined;
        });
        remote.close();
        const after = await until("its end", async () => {
          const seen = await pod.execIn(id, there);
          return seen.startsWith("0") ? seen : undefined;
        }).catch(() => "it stays");
        return `${before} ${after}`;
      }, SLEEP),
  },
  {
    name: "exec: with a terminal, whose caller goes away",
    run: (pod) =>
      pod.during(async (id) => {
        const streams = { tty: true, stdin: new PassThrough(), stdout: kept().stream };
        const remote = await pod.cri.exec(
          id,
          ["sh", "-c", "trap 'echo hup > /hup' HUP; sleep 8643; sleep 1"],
          streams,
        );
        remote.exitCode.catch(() => undefined);
        const there = "ps -o args | grep -c '^sleep 8643'; true";
        await until("the exec", async () =>
          (await pod.execIn(id, there)).startsWith("1") ? true : undefined,
        );
        remote.close();
        const after = await until("its end", async () => {
          const seen = await pod.execIn(id, there);
          return seen.startsWith("0") ? seen : undefined;
        }).catch(() => "it stays");
        return `${after} ${await pod.execIn(id, "cat /hup")}`;
      }, SLEEP),
  },
  {
    name: "exec: working directory, user and environment of its own",
    run: (pod) =>
      pod.during(async (id) => {
        const say = "pwd; id; echo $A $HOME";
        const asked = await ctrExec(pod, id, ["--cwd", "/tmp", "--user", "1000:2000"], "sh", "-c", say);
        const missing = await failureOf(ctrExec(pod, id, ["--cwd", "/not/there"], "pwd"));
        const file = await failureOf(ctrExec(pod, id, ["--cwd", "/etc/passwd"], "pwd"));
        const name = await ctrExec(pod, id, ["--user", "nobody"], "sh", "-c", "id").catch(() => "refused");
        return `${asked}${missing} ${file} ${name}`;
      }, SLEEP),
  },
  {
    name: "exec: odd ids",
    run: (pod) =>
      pod.during(async (id) => {
        const ids = ["a", "a.b_c-d", "a".repeat(76), "a".repeat(77), "-a", "a b", "../a", "", "A", id];
        const outcomes: string[] = [];
        for (const each of ids)
          outcomes.push(await failureOf(pod.ctr("tasks", "exec", "--exec-id", each, id, "true")));
        return outcomes.join(", ");
      }, SLEEP),
  },
  {
    name: "exec: signals to one by its id",
    run: (pod) =>
      pod.during(async (id) => {
        const script = "trap 'exit 9' USR1; touch /ready; while :; do sleep 0.1; done";
        const end = failureOf(
          pod.ctr("tasks", "exec", "--exec-id", "one", id, "sh", "-c", `(${script}); echo $? > /code`),
        );
        await pod.execIn(id, "until [ -e /ready ]; do sleep 0.1; done");
        const wrong = await failureOf(pod.ctr("tasks", "kill", "-s", "SIGKILL", "--exec-id", "none", id));
        await pod.ctr("tasks", "kill", "-s", "SIGKILL", "--exec-id", "one", id);
        return `${wrong} ${await end}`;
      }, SLEEP),
  },
  {
    name: "exec: a terminal's keys, as its driver turns them into signals",
    run: (pod) =>
      pod.during(async (id) => {
        const { stream, text } = kept();
        const shell = await pod.cri.exec(id, ["sh"], { tty: true, stdin: new PassThrough(), stdout: stream });
        await shell.write("sleep 1000\n");
        await pod.execIn(id, "until [ $(ps -o args | grep -c '^sleep 1000') = 2 ]; do sleep 0.1; done");
        await shell.write("\u0003");
        await shell.write("echo code $?; stty -echo\n");
        await until("the shell to go on", async () => (text().includes("code 130") ? true : undefined));
        await shell.write("\u0004");
        return `${await shell.exitCode}`;
      }, SLEEP),
  },
  {
    name: "exec: how a terminal begins",
    run: (pod) =>
      pod.type(["stty -a; ls -l /dev/console /dev/tty | wc -l; exit 0\n"], [80, 24]).then((screen) =>
        screen
          .replaceAll("\r", "")
          .split("\n")
          .filter((line) => /speed|intr|erase|icrnl|opost|echo|isig/.test(line))
          .slice(-8)
          .join("\n"),
      ),
  },
  {
    name: "exec: a terminal that is resized a hundred times",
    run: (pod) =>
      pod.during(async (id) => {
        const { stream, text } = kept();
        const script =
          "n=0; trap 'n=$((n+1))' WINCH; while [ \"$(stty size 2>/dev/null)\" != '24 200' ]; do sleep 0.05; done; [ $n -gt 0 ] && echo told; stty size";
        const shell = await pod.cri.exec(id, ["sh", "-c", script], {
          tty: true,
          stdin: new PassThrough(),
          stdout: stream,
        });
        for (let columns = 101; columns <= 200; columns++) shell.resize(columns, 24);
        const code = await shell.exitCode;
        return `${text()}${code}`;
      }, SLEEP),
  },
  {
    name: "exec: a terminal of odd sizes",
    run: (pod) =>
      pod.during(async (id) => {
        const { stream, text } = kept();
        const script = "until [ -e /go ]; do sleep 0.05; done; stty size";
        const shell = await pod.cri.exec(id, ["sh", "-c", script], {
          tty: true,
          stdin: new PassThrough(),
          stdout: stream,
        });
        shell.resize(65_535, 65_535);
        await until(
          "the size",
          async () => {
            const seen = await pod.execIn(id, "stty size < /dev/pts/0");
            return seen.includes("65535") ? true : undefined;
          },
          { timeoutMs: 5_000 },
        ).catch(() => undefined);
        await pod.execIn(id, "touch /go");
        const code = await shell.exitCode;
        return `${text()}${code}`;
      }, SLEEP),
  },
  {
    name: "exec: a background process keeps a terminal when the shell has gone",
    run: (pod) =>
      pod
        .type(["(trap '' HUP; sleep 2; echo late) & exit 7\n"], [80, 24])
        .then((screen) => `${screen.includes("late\r")} ${screen.slice(-6)}`),
    explained:
      "runc closes a terminal with its first process; blazar hands on what others still write to it for `deadlines.outputDrain`",
  },
  {
    name: "exec: binary input and output through a pipe is not touched",
    run: (pod) =>
      pod.during(async (id) => {
        const chunks: Buffer[] = [];
        const stdout = new PassThrough().on("data", (chunk: Buffer) => chunks.push(chunk));
        const remote = await pod.cri.exec(id, ["head", "-c", "65536"], { stdin: new PassThrough(), stdout });
        await remote.write(Buffer.from(Array.from({ length: 65_536 }, (_, index) => index % 256)));
        const code = await remote.exitCode;
        const all = Buffer.concat(chunks);
        return `${all.length} ${all.every((byte, index) => byte === index % 256)} ${code}`;
      }, SLEEP),
  },
];

/**
 * The workloads, each with its right answers. Scripts are in scripts/, by the same names.
 */
import type { Workload, WorkloadPod } from "./workload.ts";

/** Runs one script in one container. */
const alone =
  (script: string) =>
  ({ run }: WorkloadPod): Promise<string> =>
    run(script);

export const WORKLOADS: readonly Workload[] = [
  {
    name: "configuration in a projected volume",
    run: alone("config"),
    right: ["greeting 'hello'", "links ..data/greeting 1", "not written", "not made"],
  },
  {
    name: "PostgreSQL, killed and recovered",
    run: alone("postgresql"),
    right: [
      "accounts 100000|0",
      "history 200",
      "sums agree t",
      "recovered after SIGKILL",
      "marks 5000|0004d0b59e19461ff126e3a08a814c33|ffeed84c7cb1ae7bf4ec4bd78275bb98",
      "by index 4711",
      "sums agree t",
      "branches agree t",
      "checksums: bad 0",
    ],
  },
  {
    name: "redis with an append-only file, killed and restarted",
    run: alone("redis"),
    right: [
      "errors: 0, replies: 2000",
      "size 2002, counter 50, key:1234 value-1234",
      "after SIGKILL: size 2002, counter 50, key:1999 value-1999",
      "rewritten: aof_last_bgrewrite_status:ok",
      "2 file checks",
      "list a b c , size 2002",
    ],
  },
  {
    name: "nginx, a client in the next container",
    run: ({ during, run }) => during("nginx", () => run("nginx-client")),
    right: [
      "page 'a page on a volume'",
      "numbers 0e10426a1d5bddffcef02f1345787128",
      "part a7b1ac3a2b072f71a8e0d463bf4eb822",
      "missing 404",
      "changed 'another page'",
      "at once 1",
    ],
  },
  {
    name: "git: commit, clone, push, fsck",
    run: alone("git"),
    right: [
      "head bf1baf4f561e44bfc066930fd3ed85e20c2732e4",
      "clone bf1baf4f561e44bfc066930fd3ed85e20c2732e4, 153 files, status ''",
      "pulled bb4513a0d47c7040a8f4cce6d95fd6ff6cc09362, status ''",
      "fsck: ''",
      "objects 490",
    ],
  },
  {
    name: "sqlite in WAL mode, four writers",
    run: alone("sqlite"),
    right: [
      "mode wal",
      "said ''",
      "rows 240|240|7320",
      "integrity ok",
      "checkpoint 0|0|0",
      "rows 200|50, integrity ok",
    ],
  },
];

/** What every PortForwards does, the one in memory included: what a connection is, and when it is taken. */
import { beforeEach, expect, test, vi } from "vitest";
import type { NetworkedPod } from "../../../src/contracts/network.ts";
import type { ForwardedConnection, PortForward, PortForwards } from "../../../src/contracts/port-forward.ts";

/** The side of whoever has dialled. */
export interface Dialled {
  send(text: string): void;
  sendEnd(): void;
  /** A reset. */
  break(): void;
  readonly received: string;
  readonly ended: boolean;
  readonly wasReset: boolean;
}

export interface ForwardBench {
  readonly forwards: PortForwards;
  readonly pod: NetworkedPod;
  /** Undefined if the connection is refused. */
  dial(port: number, family: 4 | 6): Dialled | undefined;
}

export function describePortForwards(make: () => Promise<ForwardBench>): void {
  let bench: ForwardBench;
  let taken: ForwardedConnection[];
  let forward: PortForward;

  beforeEach(async () => {
    bench = await make();
    taken = [];
    forward = await bench.forwards.open(bench.pod, (connection) => taken.push(connection));
  });

  /** Both ends of a connection. */
  async function connected(port = 80, family: 4 | 6 = 4) {
    const before = taken.length;
    const client = bench.dial(port, family);
    if (client === undefined) throw new Error("it was refused");
    const connection = await vi.waitUntil(() => taken[before]);
    const heard = { text: "", ended: false, closed: false };
    connection.open({
      data: (bytes) => {
        heard.text += Buffer.from(bytes).toString();
      },
      end: () => {
        heard.ended = true;
      },
      closed: () => {
        heard.closed = true;
      },
    });
    return { client, connection, heard };
  }

  test("a connection has the port and the family that were dialled", async () => {
    const wanted = [
      [80, 4],
      [65_535, 4],
      [1, 6],
      [8080, 6],
    ] as const;
    for (const [port, family] of wanted) {
      const { connection } = await connected(port, family);
      expect([connection.port, connection.family]).toEqual([port, family]);
      connection.reset();
    }
    forward.close();
  });

  test("nothing is read before that is asked for, and nothing is lost", async () => {
    const { client, connection, heard } = await connected();
    client.send("early");
    const answered = vi.fn();
    connection.write(Buffer.from("wait"), answered);
    await vi.waitFor(() => expect(client.received).toBe("wait"));
    expect(answered).toHaveBeenCalledOnce();
    expect(heard.text).toBe("");
    connection.read(true);
    await vi.waitFor(() => expect(heard.text).toBe("early"));
    forward.close();
  });

  test("each direction ends by itself; a connection is closed when both have ended", async () => {
    const { client, connection, heard } = await connected();
    connection.read(true);
    client.send("last words");
    client.sendEnd();
    await vi.waitFor(() => expect(heard.ended).toBe(true));
    expect(heard).toMatchObject({ text: "last words", closed: false });
    const done = vi.fn();
    connection.write(Buffer.from("answer"), () => undefined);
    connection.end(done);
    await vi.waitFor(() => expect(client.ended).toBe(true));
    await vi.waitFor(() => expect(heard.closed).toBe(true));
    expect(done).toHaveBeenCalledOnce();
    expect([client.received, client.wasReset]).toEqual(["answer", false]);
    forward.close();
  });

  test("the pod's side ends first, and still hears what comes", async () => {
    const { client, connection, heard } = await connected();
    connection.read(true);
    connection.end(() => undefined);
    await vi.waitFor(() => expect(client.ended).toBe(true));
    client.send("more");
    await vi.waitFor(() => expect(heard.text).toBe("more"));
    client.sendEnd();
    await vi.waitFor(() => expect(heard.closed).toBe(true));
    forward.close();
  });

  test("a reset is one at the other side, and tells nothing here", async () => {
    const { client, connection, heard } = await connected();
    connection.read(true);
    connection.reset();
    connection.reset();
    await vi.waitFor(() => expect(client.wasReset).toBe(true));
    expect(heard).toMatchObject({ ended: false, closed: false });
    forward.close();
  });

  test("a reset of whoever dialled closes the connection", async () => {
    const { client, connection, heard } = await connected();
    connection.read(true);
    client.break();
    await vi.waitFor(() => expect(heard.closed).toBe(true));
    expect(heard.ended).toBe(false);
    forward.close();
  });

  test("when it is closed nothing is taken any more; it can be opened again", async () => {
    forward.close();
    forward.close();
    expect(bench.dial(80, 4)).toBeUndefined();
    expect(bench.dial(80, 6)).toBeUndefined();
    forward = await bench.forwards.open(bench.pod, (connection) => taken.push(connection));
    await connected();
    forward.close();
  });
}

/** `network.dial`: connections to servers in the guest, on either loopback address, and how they end. */
import { afterAll, beforeAll, describe, expect, it, vi } from "vitest";
import type { AgentBench } from "../../support/bench/agent.ts";
import { Dialled } from "../../support/dialled.ts";

const WINDOW = 64 * 1024;
const ON_4 = 1001;
const ON_6 = 1002;
const ECHO = 1003;
const BREAKS = 1004;

export function describeDials(bench: AgentBench): void {
  describe("a connection to a server in the guest", () => {
    const servers: string[] = [];

    /** A container with a server, as soon as it listens. */
    async function serve(command: string, port: number): Promise<void> {
      const { id } = await bench.stay(["sh", "-c", command]);
      servers.push(id);
      const listens = `cat /proc/net/tcp /proc/net/tcp6 | grep -q ':${hex(port)} .* 0A '`;
      expect((await bench.run(`until ${listens}; do sleep 0.1; done`)).status).toBe(0);
    }

    async function dial(port: number, family = 4, window = WINDOW): Promise<Dialled> {
      const dialled = new Dialled(bench.guest.peer, bench.guest.allotStream(), window);
      await bench.guest.request("network.dial", { family, port, stream: dialled.stream, window });
      return dialled;
    }

    /** Waits until there are so many connections at a port of the guest. */
    async function established(port: number, wanted: number): Promise<void> {
      const ends = `awk '$2 ~ /:${hex(port)}$/ && $4 == "01"' /proc/net/tcp /proc/net/tcp6`;
      const { status } = await bench.run(`until [ $(${ends} | wc -l) = ${wanted} ]; do sleep 0.1; done`);
      expect(status).toBe(0);
    }

    beforeAll(async () => {
      await serve(`echo four > /tmp/f; exec httpd -f -h /tmp -p 127.0.0.1:${ON_4}`, ON_4);
      await serve(`echo six > /tmp/f; exec httpd -f -h /tmp -p '[::1]:${ON_6}'`, ON_6);
      await serve(`exec nc -ll -p ${ECHO} -e cat`, ECHO);
    });

    afterAll(async () => {
      for (const id of servers) {
        if (!bench.guest.hasExited(id))
          await bench.guest.request("process.signal", { id, execId: "", signal: 9, all: true });
        await bench.guest.exit(id);
        await bench.remove(id);
      }
    });

    it.each([
      ["127.0.0.1", ON_4, 4, "four"],
      ["127.0.0.1", ON_4, 6, "four"],
      ["::1", ON_6, 4, "six"],
      ["::1", ON_6, 6, "six"],
    ])("reaches one that listens on %s only (port %i, IPv%i)", async (_, port, family, said) => {
      const dialled = await dial(port, family);
      dialled.send("GET /f HTTP/1.0\r\n\r\n");
      await vi.waitFor(() => expect(dialled.ended).toBe(true), 5_000);
      expect(dialled.received).toMatch(/^HTTP\/1\.[01] 200 OK\r\n/);
      expect(dialled.received).toContain(`\r\n\r\n${said}\n`);
    });

    it("is refused where nobody listens", async () => {
      for (const family of [4, 6])
        await expect(dial(1999, family)).rejects.toMatchObject({ code: "ConnectionRefused" });
    });

    it("is half-closed: the answer comes after the question's end", async () => {
      const dialled = await dial(ECHO);
      dialled.send("question");
      dialled.sendEnd();
      await vi.waitFor(() => expect([dialled.ended, dialled.sent]).toEqual([true, true]), 5_000);
      expect([dialled.received, dialled.wasReset]).toEqual(["question", false]);
    });

    it("carries bulk whole, through a small window", async () => {
      const dialled = await dial(ECHO, 4, 4096);
      const text = Array.from({ length: 50_000 }, (_, number) => `${number}\n`).join("");
      dialled.send(text);
      dialled.sendEnd();
      await vi.waitFor(() => expect(dialled.ended).toBe(true), 60_000);
      expect(dialled.received === text).toBe(true);
    });

    it("keeps bytes that come with the question until there is a server", async () => {
      const dialled = new Dialled(bench.guest.peer, bench.guest.allotStream(), WINDOW);
      const { stream } = dialled;
      const asked = bench.guest.request("network.dial", { family: 4, port: ECHO, stream, window: WINDOW });
      dialled.send("early");
      dialled.sendEnd();
      await asked;
      await vi.waitFor(() => expect(dialled.ended).toBe(true), 5_000);
      expect(dialled.received).toBe("early");
    });

    it("is one of many that do not disturb each other", async () => {
      const all = await Promise.all(Array.from({ length: 12 }, () => dial(ECHO)));
      for (const [number, dialled] of all.entries()) {
        dialled.send(`number ${number}`);
        dialled.sendEnd();
      }
      await vi.waitFor(() => expect(all.every(({ ended }) => ended)).toBe(true), 60_000);
      expect(all.map(({ received }) => received)).toEqual(all.map((_, number) => `number ${number}`));
    });

    it("is gone at the server when the host gives it up, and when the link breaks", async () => {
      const [given, lost] = [await dial(ECHO), await dial(ECHO)];
      for (const dialled of [given, lost]) {
        dialled.send("there");
        await vi.waitFor(() => expect(dialled.received).toBe("there"), 5_000);
      }
      await established(ECHO, 2);
      given.reset();
      await established(ECHO, 1);
      bench.guest.disconnect();
      await bench.guest.connect();
      await established(ECHO, 0);
    });

    it("is reset for the host when the server breaks it off", async () => {
      // whoever ends with bytes unread resets the connection (RFC 2525, 2.17)
      await serve(`nc -l -p ${BREAKS} -e sleep 1; sleep 1000`, BREAKS);
      const dialled = await dial(BREAKS);
      dialled.send("unread");
      await vi.waitFor(() => expect(dialled.wasReset).toBe(true), 20_000);
    });
  });
}

/** A port as /proc/net/tcp has it. */
function hex(port: number): string {
  return port.toString(16).toUpperCase().padStart(4, "0");
}

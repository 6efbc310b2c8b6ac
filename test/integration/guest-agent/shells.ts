/** Processes in the guest itself, outside of all containers. */
import { describe, expect, it } from "vitest";
import { GUEST_ITSELF } from "../../../src/protocol/guest/messages.ts";
import { type AgentBench, NO_STDIO, processOf } from "../../support/bench/agent.ts";

const ENV = ["PATH=/bin:/rootfs/usr/bin:/rootfs/sbin"];

export function describeShells(bench: AgentBench): void {
  describe("the guest agent's shells", () => {
    let count = 0;
    async function start(args: string[], terminal = false) {
      const { stream: stdin, sender } = bench.guest.input();
      const { stream: stdout, output } = bench.guest.output();
      const execId = `shell-${count++}`;
      const process = processOf(args, { env: ENV, terminal, rows: 11, columns: 22 });
      const stdio = { stdin, stdout, stderr: 0 };
      await bench.guest.request("process.exec", { id: GUEST_ITSELF, execId, process, stdio });
      const end = () => bench.guest.request("process.abandon", { id: GUEST_ITSELF, execId });
      const input = { write: (text: string) => sender.write(Buffer.from(text)) };
      return { execId, output, input, end, exit: () => bench.guest.exit(GUEST_ITSELF, execId) };
    }

    async function run(script: string) {
      const { execId, output, exit } = await start(["sh", "-c", script]);
      const { status } = await exit();
      await output.ended;
      await bench.guest.request("process.delete", { id: GUEST_ITSELF, execId });
      return { status, stdout: output.text() };
    }

    it("see the guest itself, with the programs of its built-in root", async () => {
      const { id } = await bench.stay(["sleep", "777"]);
      const script = '[ "$(readlink /proc/self/ns/mnt)" = "$(readlink /proc/1/ns/mnt)" ] && exit 7';
      const { status, stdout } = await run(`ps; ls /; ${script}`);
      expect(status).toBe(7);
      expect(stdout).toContain("sleep 777");
      expect(stdout).toContain("rootfs");
      await bench.remove(id);
    });

    it("have a terminal with a size that can change, and input", async () => {
      const { execId, output, input, exit } = await start(["sh"], true);
      input.write("stty size; tty\n");
      await output.until((text) => text.includes("11 22") && text.includes("/dev/pts/"));
      const size = { rows: 33, columns: 44 };
      await bench.guest.request("process.resize", { id: GUEST_ITSELF, execId, ...size });
      input.write("stty size; exit 3\n");
      expect((await exit()).status).toBe(3);
      expect(output.text()).toContain("33 44");
      await bench.guest.request("process.delete", { id: GUEST_ITSELF, execId });
    });

    it("say why a command cannot be run", async () => {
      await expect(start(["no-such-program"])).rejects.toMatchObject({ code: "CommandNotFound" });
    });

    it("are killed with all that they have started", async () => {
      const shell = await start(["sh", "-c", "sleep 888 & sleep 888 & wait"]);
      await expect.poll(async () => (await run("ps -o args | grep -c '^sleep 888'")).stdout.trim()).toBe("2");
      await shell.end();
      expect((await run("ps -o args | grep -c '^sleep 888'")).stdout.trim()).toBe("0");
    });

    it("end with the link of whoever has asked for them", async () => {
      await start(["sleep", "999"]);
      expect((await run("ps -o args | grep -c '^sleep 999'")).stdout.trim()).toBe("1");
      bench.guest.disconnect();
      // a host that is back at once is the same as before
      await new Promise((resolve) => setTimeout(resolve, 500));
      await bench.guest.connect();
      await expect.poll(async () => (await run("ps -o args | grep -c '^sleep 999'")).stdout.trim()).toBe("0");
    });

    it("are few at once", async () => {
      const shells = [];
      for (let index = 0; index < 8; index++) shells.push(await start(["sleep", "1000"]));
      await expect(start(["true"])).rejects.toMatchObject({ code: "ResourceExhausted" });
      for (const shell of shells) await shell.end();
      expect((await run("ls -d /sys/fs/cgroup/.shell-* | wc -l")).stdout.trim()).toBe("1");
    });

    it("are no containers: the sandbox stays as it is", async () => {
      const stray = { id: GUEST_ITSELF, execId: "none" };
      await expect(
        bench.guest.request("process.resize", { ...stray, rows: 1, columns: 1 }),
      ).rejects.toMatchObject({
        code: "ProcessNotFound",
      });
      await bench.guest.request("process.abandon", stray);
      const nothing = { id: GUEST_ITSELF, execId: "", process: processOf(["true"]), stdio: NO_STDIO };
      await expect(bench.guest.request("process.exec", nothing)).rejects.toMatchObject({
        code: "ProcessExists",
      });
    });
  });
}

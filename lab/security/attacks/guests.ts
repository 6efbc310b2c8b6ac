/**
 * What a guest can do whose root is hostile: as the kernel's master it speaks in the agent's place, or its containers take all
 * they can get. The agent's engine is killed, and its port taken before the next engine has it.
 */
import { readFile } from "node:fs/promises";
import { FrameType } from "../../../src/protocol/wire/frame.ts";
import { execText } from "../../cri/commands.ts";
import type { Attack, Ground } from "../attack.ts";

const SECONDS = 6;
const MEBIBYTE = 2 ** 20;
/** What the daemon may grow by because of one guest. */
const MOST_GROWTH = 64 * MEBIBYTE;

/** A frame's header as escapes of printf(1): length, type, stream, sequence. */
function header(length: number, type: number, stream: number, sequence: bigint): string {
  const bytes = Buffer.alloc(17);
  bytes.writeUInt32BE(length, 0);
  bytes.writeUInt8(type, 4);
  bytes.writeUInt32BE(stream, 5);
  bytes.writeBigUInt64BE(sequence, 9);
  return [...bytes].map((byte) => `\\${byte.toString(8).padStart(3, "0")}`).join("");
}

const HELLO = '{"role":"agent","agent":"\\033]0;owned\\007\\033[2J","protocol":1,"pid":1}';
const hello = `printf '${header(13 + HELLO.length - 6, FrameType.Hello, 0, 0n)}'; printf '${HELLO}'`;
const acks = `printf '${header(17, FrameType.Ack, 7, 1n)}\\000\\001\\000\\000'`;
const oneByte = `printf '${header(14, FrameType.Data, 3, 0n)}x'`;

/** What goes to the daemon in the agent's place, by what it is. */
const SPEECHES: Readonly<Record<string, string>> = {
  "bytes at random": "cat /dev/urandom",
  "nothing but zeros": "cat /dev/zero",
  "frames that claim to be of 4 GiB": `while :; do printf '${header(0xffff_ffff, FrameType.Data, 1, 0n)}'; done`,
  "a frame of 1 MiB, byte by byte": `printf '${header(MEBIBYTE, FrameType.Event, 0, 1n)}'; while :; do printf x; done`,
  "a hello with control characters, and then acks without end": `${hello}; while :; do ${acks}${";".concat(acks).repeat(7)}; done`,
  "a hello, and then data of one byte each": `${hello}; while :; do ${oneByte}${";".concat(oneByte).repeat(7)}; done`,
  "hellos without end": `while :; do ${hello}; done`,
};

/** In the guest: the shell's parent is the engine. */
function speak(speech: string): string {
  const take = `kill -9 $PPID; i=0; until exec 3<>$p; do i=$((i+1)); [ $i -gt 2000 ] && exit 1; done`;
  const port = `for each in /sys/class/virtio-ports/*; do p=/dev/\${each##*/}; grep -q agent $each/name && break; done`;
  return `${port}; setsid sh -c '${take.replace("$PPID", '"$0"')}; { ${speech.replaceAll("'", `'"'"'`)}; } >&3' $PPID & sleep 1`;
}

function speaking(name: string, speech: string): Attack {
  return {
    name: `the daemon serves all others, and does not grow: ${name}`,
    by: "a guest",
    async tryIt(ground) {
      const { pod } = await ground.hostile();
      const before = await anonymousBytes(ground.node.blazardPid);
      await ground.inGuest(pod, speak(speech)).catch(() => undefined);
      await wait(SECONDS, ground.signal);
      const grown = (await anonymousBytes(ground.node.blazardPid)) - before;
      if (grown > MOST_GROWTH) return `the daemon has grown by ${Math.round(grown / MEBIBYTE)} MiB`;
      const status = await ground.node.cri.podSandboxStatus(pod, true).then(JSON.stringify, String);
      return controlCharacters(status);
    },
  };
}

function inContainer(name: string, command: string): Attack {
  return {
    name,
    by: "a guest",
    async tryIt(ground) {
      const { container } = await ground.hostile();
      const before = await anonymousBytes(ground.node.blazardPid);
      await execText(ground.node.cri, container, command, SECONDS).catch(() => undefined);
      const grown = (await anonymousBytes(ground.node.blazardPid)) - before;
      return grown > MOST_GROWTH ? `the daemon has grown by ${Math.round(grown / MEBIBYTE)} MiB` : undefined;
    },
  };
}

export const GUESTS: readonly Attack[] = [
  ...Object.entries(SPEECHES).map(([name, speech]) => speaking(name, speech)),
  inContainer("output without end, that nobody reads in time", "yes 'a line that is as long as lines are'"),
  inContainer("processes without end", "f() { f | f & }; f; sleep 5"),
  inContainer("memory without end", "x=x; while :; do x=$x$x; done"),
  inContainer("a disk that is written full", "dd if=/dev/zero of=/full bs=1M"),
  {
    name: "control characters of a container never reach a status",
    by: "a guest",
    async tryIt({ hostile, node }) {
      const { container } = await hostile();
      const words = ["/bin/\u001b]0;owned\u0007\u001b[2J\nx"];
      const said = await node.cri.execSync(container, words, 5).then(
        () => "",
        (error: unknown) => (error as { details?: string }).details ?? String(error),
      );
      return controlCharacters(said);
    },
  },
];

/** The first that a terminal would obey. */
function controlCharacters(text: string): string | undefined {
  // biome-ignore lint/suspicious/noControlCharactersInRegex: they are what is looked for
  const [found] = /[\u0000-\u0008\u000b-\u001f\u007f\u0080-\u009f]/.exec(text) ?? [];
  return found === undefined ? undefined : `the control character ${JSON.stringify(found)}`;
}

async function anonymousBytes(pid: number): Promise<number> {
  const text = await readFile(`/proc/${pid}/smaps_rollup`, "utf8");
  return Number(/^Anonymous:\s+(\d+) kB/m.exec(text)?.[1] ?? 0) * 1024;
}

async function wait(seconds: number, signal: Ground["signal"]): Promise<void> {
  await new Promise<void>((resolve) => {
    const timer = setTimeout(resolve, seconds * 1000);
    signal.addEventListener("abort", () => {
      clearTimeout(timer);
      resolve();
    });
  });
}

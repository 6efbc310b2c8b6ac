/** What a container can do that takes all it can get: of processors, processes, memory, disk, and of whoever reads its output. */
import { reasonOf } from "../../../src/contracts/errors.ts";
import { execText } from "../../cri/commands.ts";
import type { Attack } from "../attack.ts";
import { Growth } from "../growth.ts";
import { controlCharacterIn } from "../terminal.ts";

const SECONDS = 8;

/** @param proof what the command comes to hear when it has got all that it may have */
function taking(name: string, command: string, proof: RegExp): Attack {
  return {
    name,
    by: "a guest",
    async tryIt(ground) {
      const growth = await Growth.from(ground);
      const { container } = ground.hostile;
      const said = await execText(ground.node.cri, container, command, SECONDS).then(
        ({ code, stderr }) => `${code} ${stderr}`,
        String,
      );
      await growth.look();
      if (!proof.test(said))
        throw new Error(`the container came to hear ${JSON.stringify(said.slice(-200))}`);
      return growth.tooMuch;
    },
  };
}

const TIMEOUT = /exceed|timeout|timed out/i;

export const CONTAINERS: readonly Attack[] = [
  taking("output without end", "yes 'a line that is as long as lines are'", TIMEOUT),
  taking("lines without end, of one byte each", "while :; do echo; done", TIMEOUT),
  taking("a line without end", "cat /dev/zero", TIMEOUT),
  taking("processors without end", "for i in 1 2 3 4 5 6 7 8; do while :; do :; done & done; wait", TIMEOUT),
  taking("processes without end", "f() { f | f & }; f; sleep 20", /can't fork|^137|exceed|timeout/i),
  taking("memory without end", "x=x; while :; do x=$x$x; done", /out of memory|^137|^2 |exceed/i),
  taking(
    "memory of a file system without end",
    "dd if=/dev/zero of=/dev/shm/full bs=1M",
    /No space|^137|Cannot allocate/i,
  ),
  taking("a disk that is written full", "dd if=/dev/zero of=/full bs=1M", /No space|exceed|timeout/i),
  taking(
    "a disk without inodes",
    "mkdir /many; cd /many; i=0; while touch $i; do i=$((i+1)); done; exit 28",
    /No space|^28|exceed|timeout/i,
  ),
  {
    name: "control characters of a container never reach a status",
    by: "a guest",
    async tryIt({ hostile, node }) {
      const words = ["/bin/\u001b]0;owned\u0007\u001b[2J\u009b\u202e\nx"];
      const said = await node.cri.execSync(hostile.container, words, 5).then(() => "", reasonOf);
      if (!said.includes("owned")) throw new Error(`the status says ${JSON.stringify(said)}`);
      return controlCharacterIn(said);
    },
  },
];

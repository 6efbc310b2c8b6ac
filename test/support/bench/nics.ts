/**
 * A VM's network interfaces as a test uses them: a tap is moved into a network namespace of its own, and guest and host send
 * each other a stream of TCP over it.
 *
 * The guest's end is a container with busybox, the host's end is set-up's busybox by nsenter(1). Follows ip-link(8).
 */
import { type ChildProcess, execFile, spawn } from "node:child_process";
import { once } from "node:events";
import { readlink } from "node:fs/promises";
import { setTimeout } from "node:timers/promises";
import { promisify } from "node:util";
import { until } from "../../../lab/host/until.ts";
import type { Vm } from "../../../src/contracts/vm.ts";
import { nicMac } from "../../../src/protocol/guest/nics.ts";
import type { Exchange, NicBench } from "../conformance/nic-bench.ts";
import { sandboxSetup } from "../guest-requests.ts";
import { DriverGuest } from "./guest.ts";

const [HOST, GUEST] = ["198.18.0.1", "198.18.0.2"];
const PORT = 7000;
const STREAM_BYTES = 4 * 2 ** 20;
const run = promisify(execFile);

interface Link {
  readonly ifname: string;
  readonly stats64?: { readonly rx: Counted; readonly tx: Counted };
}

interface Counted {
  readonly bytes: number;
  readonly packets: number;
}

export class BenchNics implements NicBench {
  private readonly children: ChildProcess[] = [];

  /** @param busybox a static one */
  constructor(private readonly busybox: string) {}

  async parked(vm: Vm, nic: number): Promise<boolean> {
    const { tap, namespace } = nicOf(vm, nic);
    return (await links(namespace)).some(({ ifname }) => ifname === tap);
  }

  /** Frames that the VM sends within so many milliseconds after its tap was brought up. */
  async heard(vm: Vm, nic: number, ms: number): Promise<number> {
    const { tap, place } = await this.move(vm, nic);
    await setTimeout(ms);
    return (await counted(place, tap)).packets;
  }

  async exchange(vm: Vm, nic: number): Promise<Exchange> {
    const { tap, place } = await this.move(vm, nic);
    const serving = this.start(place, [`${this.busybox}`, "sh", "-c", this.server()]);
    const guest = await DriverGuest.of(vm);
    await guest.ask("sandbox.setup", sandboxSetup());
    const { status, text } = await guest.run("takes", ["sh", "-c", taker(nicMac(nic))]);
    const [packets, bytes] = text.trim().split(/\s+/).map(Number);
    if (status !== 0 || packets === undefined || bytes === undefined)
      throw new Error(`no stream came: ${status} ${text}`);
    // the acknowledgements of what came do not count
    const before = await counted(place, tap);
    const sent = await guest.run("sends", ["sh", "-c", sender()]);
    if (sent.status !== 0) throw new Error(`no stream was sent: ${sent.status} ${sent.text}`);
    await ended(serving);
    const after = await counted(place, tap);
    const fromGuest = (after.bytes - before.bytes) / (after.packets - before.packets);
    return { toGuest: bytes / packets, fromGuest };
  }

  /** Moves a tap into a new network namespace, where it is the only link, and is up. */
  private async move(vm: Vm, nic: number): Promise<{ readonly tap: string; readonly place: string }> {
    const { tap, namespace } = nicOf(vm, nic);
    const place = await this.namespace();
    await inside(namespace, ["ip", "link", "set", tap, "netns", place]);
    await inside(place, ["ip", "addr", "add", `${HOST}/24`, "dev", tap]);
    await inside(place, ["ip", "link", "set", tap, "up"]);
    return { tap, place };
  }

  /** Ends what it has started, and with it the namespaces. */
  dispose(): void {
    for (const child of this.children.splice(0)) child.kill("SIGKILL");
  }

  /** A new network namespace, by a path. */
  private async namespace(): Promise<string> {
    const child = this.start("", ["unshare", "--net", "sleep", "600"]);
    const path = `/proc/${child.pid}/ns/net`;
    const own = await readlink("/proc/self/ns/net");
    await until("a network namespace", async () => ((await readlink(path)) === own ? undefined : true));
    return path;
  }

  private start(place: string, argv: readonly string[]): ChildProcess {
    const [program = "", ...args] = place === "" ? argv : ["nsenter", `--net=${place}`, ...argv];
    const child = spawn(program, args, { stdio: ["pipe", "ignore", "inherit"] });
    this.children.push(child);
    return child;
  }

  /** Sends a stream, then takes one. nc itself writes 1 KiB at a time, which goes out as small frames where the other end is quick. */
  private server(): string {
    const send = `${this.busybox} nc -l -p ${PORT} -e ${this.busybox} dd if=/dev/zero bs=64k count=${STREAM_BYTES / 2 ** 16}`;
    return `${send}; ${this.busybox} nc -l -p ${PORT + 1} >/dev/null`;
  }
}

/** Takes a stream, and prints how many packets and bytes came. */
function taker(mac: string): string {
  return [
    `until nic=$(ip -o link | grep ${mac} | cut -d: -f2) && [ "$nic" ]; do sleep 0.1; done`,
    `ip addr add ${GUEST}/24 dev $nic && ip link set $nic up || exit 8`,
    // an nc whose input has ended ends the stream at once
    "mkfifo /tmp/input && exec 3<>/tmp/input",
    `until nc ${HOST} ${PORT} <&3 >/tmp/got; do sleep 0.1; done`,
    `[ $(wc -c </tmp/got) = ${STREAM_BYTES} ] || exit 9`,
    "set -- $(grep $nic: /proc/net/dev | tr : ' ') && echo $3 $2",
  ].join("\n");
}

function sender(): string {
  return [
    `head -c ${STREAM_BYTES} /dev/zero >/tmp/sent`,
    `until nc ${HOST} ${PORT + 1} -e dd if=/tmp/sent bs=64k; do sleep 0.1; done`,
  ].join("\n");
}

function nicOf(vm: Vm, nic: number): Vm["nics"][number] {
  const found = vm.nics[nic];
  if (found === undefined) throw new Error(`${vm.id} has no interface ${nic}`);
  return found;
}

async function links(namespace: string): Promise<Link[]> {
  return JSON.parse(await inside(namespace, ["ip", "-j", "-s", "link"])) as Link[];
}

/** What came from the VM. */
async function counted(namespace: string, tap: string): Promise<Counted> {
  const [link] = (await links(namespace)).filter(({ ifname }) => ifname === tap);
  const { rx } = link?.stats64 ?? {};
  if (rx === undefined) throw new Error(`${tap} has no counters`);
  return rx;
}

async function inside(namespace: string, argv: readonly string[]): Promise<string> {
  return (await run("nsenter", [`--net=${namespace}`, ...argv])).stdout;
}

async function ended(child: ChildProcess): Promise<void> {
  if (child.exitCode === null && child.signalCode === null) await once(child, "exit");
}

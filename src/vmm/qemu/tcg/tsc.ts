/**
 * The frequency of the host's time stamp counter, which an emulated guest sees and cannot measure for itself.
 *
 * The kernel tells it nowhere plainly. The sources, in order of trust: the kernel's log (refined, then detected), the nominal
 * frequency of cpufreq, and /proc/cpuinfo. There `cpu MHz` is the counter's frequency only where nothing scales the clock.
 */
import { constants } from "node:fs";
import { type FileHandle, open, readFile } from "node:fs/promises";

/** What can be read on a host; "" where it is not there. */
export interface TscSources {
  readonly kernelLog: string;
  /** cpufreq/base_frequency of the first processor, kHz. */
  readonly baseFrequency: string;
  readonly cpuinfo: string;
}

const LEAST_KHZ = 500_000;
const MOST_KHZ = 8_000_000;
const KHZ_PER_MHZ = 1000;
const KHZ_PER_GHZ = 1_000_000;
const BASE_FREQUENCY = "/sys/devices/system/cpu/cpu0/cpufreq/base_frequency";
/** Longest record of /dev/kmsg, and how many are read: the log's ring is no longer. */
const RECORD_BYTES = 8192;
const MAX_RECORDS = 20_000;

/** The frequency in kHz, or undefined if nothing credible is known. */
export function tscKhz(sources: TscSources): number | undefined {
  const { kernelLog, baseFrequency, cpuinfo } = sources;
  const candidates = [
    megahertz(/tsc: Refined TSC clocksource calibration: ([\d.]+) MHz/.exec(kernelLog)),
    megahertz(/tsc: Detected ([\d.]+) MHz TSC/.exec(kernelLog)),
    megahertz(/tsc: Detected ([\d.]+) MHz processor/.exec(kernelLog)),
    Math.round(Number(baseFrequency)),
    gigahertz(/^model name\s*:.*@ ([\d.]+)GHz/m.exec(cpuinfo)),
    megahertz(/^cpu MHz\s*:\s*([\d.]+)/m.exec(cpuinfo)),
  ];
  return candidates.find((khz) => khz >= LEAST_KHZ && khz <= MOST_KHZ);
}

/** Reads this host's. */
export async function readTscKhz(): Promise<number | undefined> {
  const [kernelLog, baseFrequency, cpuinfo] = await Promise.all([
    readKernelLog(),
    readFile(BASE_FREQUENCY, "latin1").catch(() => ""),
    readFile("/proc/cpuinfo", "latin1").catch(() => ""),
  ]);
  // without cpufreq nothing scales the clock, and `cpu MHz` is exact where the model's name is rounded
  const exact = baseFrequency === "" ? cpuinfo.replaceAll(/^model name.*$/gm, "") : cpuinfo;
  return tscKhz({ kernelLog, baseFrequency, cpuinfo: exact });
}

function megahertz(match: RegExpExecArray | null): number {
  return Math.round(Number(match?.[1]) * KHZ_PER_MHZ);
}

function gigahertz(match: RegExpExecArray | null): number {
  return Math.round(Number(match?.[1]) * KHZ_PER_GHZ);
}

/** The lines about the TSC in the kernel's log; "" where it may not be read. */
async function readKernelLog(): Promise<string> {
  let log: FileHandle | undefined;
  try {
    log = await open("/dev/kmsg", constants.O_RDONLY | constants.O_NONBLOCK);
    return await tscRecords(log);
  } catch {
    return "";
  } finally {
    await log?.close();
  }
}

async function tscRecords(log: FileHandle): Promise<string> {
  const buffer = Buffer.alloc(RECORD_BYTES);
  const records: string[] = [];
  for (let count = 0; count < MAX_RECORDS; count++) {
    // one record a read (dev-kmsg in the kernel's ABI documents); EAGAIN at the end, EPIPE where some were lost
    const bytes = await log.read(buffer, 0, RECORD_BYTES, null).then(
      (result) => result.bytesRead,
      (error: NodeJS.ErrnoException) => (error.code === "EPIPE" ? -1 : 0),
    );
    if (bytes === 0) break;
    if (bytes < 0) continue;
    const record = buffer.toString("latin1", 0, bytes);
    if (!record.includes("tsc: ")) continue;
    records.push(record);
    if (record.includes("Refined TSC")) break;
  }
  return records.join("\n");
}

/**
 * Measures how short of memory the host is: pressure stall information (Documentation/accounting/psi.rst).
 */
import { readFile } from "node:fs/promises";

/** The share of the last ten seconds in which some task waited for memory, in percent; undefined without PSI. */
export async function memoryPressure(): Promise<number | undefined> {
  const text = await readFile("/proc/pressure/memory", "utf8").catch(() => "");
  const found = /^some avg10=([\d.]+)/m.exec(text)?.[1];
  return found === undefined ? undefined : Number(found);
}

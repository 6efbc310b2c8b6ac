/**
 * The daemon's own process, under the names that every Prometheus client has for it.
 */
import { readdirSync } from "node:fs";
import { cpuUsage, memoryUsage, uptime } from "node:process";
import type { MetricStore } from "./store.ts";

const MICROSECONDS = 1e6;
const MILLISECONDS = 1000;

const startedAt = Date.now() / MILLISECONDS - uptime();

export function tellProcess(store: MetricStore): void {
  const { rss, heapTotal, heapUsed, external } = memoryUsage();
  const { user, system } = cpuUsage();
  store.set("process_cpu_seconds_total", {}, (user + system) / MICROSECONDS);
  store.set("process_resident_memory_bytes", {}, rss);
  store.set("process_start_time_seconds", {}, startedAt);
  store.set("process_open_fds", {}, readdirSync("/proc/self/fd").length);
  store.set("nodejs_heap_size_total_bytes", {}, heapTotal);
  store.set("nodejs_heap_size_used_bytes", {}, heapUsed);
  store.set("nodejs_external_memory_bytes", {}, external);
}

/**
 * Every metric of blazard: its name, type, unit, labels and meaning, in one table.
 *
 * Names and units follow Prometheus (prometheus.io/docs/practices/naming): base units, `_total` for counters. The exposition,
 * docs/observability.md and the checks of dashboard and rules come from this table, so a metric is written here and its value
 * is told elsewhere. Values of labels must be bounded: a name of ours, a pod of this node, never an error's text.
 */

interface Metric {
  readonly type: "counter" | "gauge" | "histogram";
  readonly unit: "" | "seconds" | "bytes";
  readonly labels: readonly string[];
  /** A sentence. */
  readonly help: string;
  /** Upper bounds of a histogram, ascending, in its unit. */
  readonly buckets?: readonly number[];
}

/** From a step of a warm start to a boot under emulation on a busy node. */
const STEPS = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60] as const;
const DELAYS = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1] as const;

const METRICS = {
  blazar_build_info: gauge("", ["version", "vmm", "acceleration"], "Always 1; the labels tell the daemon."),
  blazar_sandboxes: gauge("", ["phase"], "Sandboxes by phase."),
  blazar_sandboxes_stuck: gauge(
    "",
    [],
    "Sandboxes that are in a state for longer than is usual, or whose VMM is halted.",
  ),
  blazar_sandboxes_stuck_total: counter([], "How often a sandbox has become stuck."),
  blazar_containers: gauge("", [], "Containers that are there."),
  blazar_sandbox_starts_total: counter(
    ["path"],
    "Sandboxes that became ready, by where their VM came from: pool, fork, clone or boot.",
  ),
  blazar_sandbox_start_duration_seconds: histogram(
    "seconds",
    ["path"],
    STEPS,
    "From the beginning of Start until the sandbox was ready.",
  ),
  blazar_sandbox_failures_total: counter(["code"], "Sandboxes that went down without being asked to."),
  blazar_boot_fallbacks_total: counter(
    ["from", "to"],
    "Ways to a VM that failed or were late, and the state that came next.",
  ),
  blazar_deadlines_missed_total: counter(
    ["deadline"],
    "Waits of charts that a deadline has ended, by the key of [deadlines].",
  ),
  blazar_call_duration_seconds: histogram(
    "seconds",
    ["method"],
    STEPS,
    "How long calls of containerd took, failed ones included, without Wait.",
  ),
  blazar_call_errors_total: counter(
    ["method", "code"],
    "Calls of containerd that were answered with an error.",
  ),
  blazar_effect_duration_seconds: histogram(
    "seconds",
    ["chart", "effect"],
    STEPS,
    "How long charts waited for what they had asked for.",
  ),
  blazar_effect_errors_total: counter(["chart", "effect", "code"], "Effects of charts that failed."),
  blazar_step_duration_seconds: histogram(
    "seconds",
    ["step"],
    STEPS,
    "How long parts of effects took that a guest, a worker or the keeper carried out.",
  ),
  blazar_step_errors_total: counter(["step", "code"], "Such parts that failed."),
  blazar_pool_vms: gauge("", [], "Warm VMs that wait for a pod."),
  blazar_pool_wanted_vms: gauge("", [], "Warm VMs that there shall be."),
  blazar_original_ready: gauge("", [], "1 if there is a paused VM to fork others from."),
  blazar_turns: gauge(
    "",
    ["kind", "state"],
    "Turns to start a VM, to keep a guest busy or to make a sandbox: running, and queued for one.",
  ),
  blazar_worker_tasks: gauge(
    "",
    ["pool", "state"],
    "Tasks of worker threads: running, and queued for a thread.",
  ),
  blazar_worker_threads_started_total: counter(["pool"], "Worker threads that were started."),
  blazar_event_loop_delay_seconds: histogram(
    "seconds",
    [],
    DELAYS,
    "By how much the event loop was late for a timer of ten times a second, since the first scrape.",
  ),
  blazar_guest_link_bytes_total: counter(
    ["direction"],
    "Bytes of the protocol between daemon and guests, standard streams included.",
  ),
  blazar_guest_link_held_seconds_total: counter(
    ["namespace", "pod"],
    "For how long a pod's guest was not read, because what it sent took too much of the daemon's time; only of pods that did.",
  ),
  blazar_keeper_up: gauge("", [], "1 if the keeper can be reached."),
  blazar_keeper_link_losses_total: counter([], "How often the link to the keeper was lost."),
  blazar_keeper_deaths_total: counter(
    [],
    "How often the keeper has died, and with it all running containers.",
  ),
  blazar_keeper_processes: gauge("", [], "Processes that the keeper is the parent of."),
  blazar_keeper_resident_memory_bytes: gauge("bytes", [], "Resident memory of the keeper."),
  blazar_reconcile_differences: gauge(
    "",
    [],
    "What the host, the journals and containerd's list differed in at the last look.",
  ),
  blazar_reconcile_done_total: counter(
    ["kind"],
    "What nobody held and the reconciler has removed, by the kind of thing.",
  ),
  blazar_reconcile_failures_total: counter(
    ["kind"],
    "What the reconciler could not remove, each try counted.",
  ),
  blazar_inspection_watchers: gauge("", [], "Watchers of the inspection socket."),
  blazar_images: gauge("", [], "Images of layers in the image directory."),
  blazar_images_size_bytes: gauge("bytes", [], "What they take on disk."),
  blazar_templates: gauge("", [], "Templates in the template directory."),
  blazar_templates_size_bytes: gauge("bytes", [], "What they take on disk."),
  blazar_vmm_resident_memory_bytes: gauge(
    "bytes",
    ["namespace", "pod"],
    "Resident memory of a pod's VMM, the guest's memory included; of the oldest pods only.",
  ),
  blazar_vmm_cpu_seconds_total: counter(
    ["namespace", "pod"],
    "CPU time of a pod's VMM, the guest's included; of the oldest pods only.",
  ),
  blazar_vmm_hidden: gauge(
    "",
    [],
    "Pods without a series of their own in blazar_vmm_*, because there are too many.",
  ),
  blazar_trace_spans_total: counter(["result"], "Spans by what became of them: exported, dropped or failed."),
  process_cpu_seconds_total: counter([], "CPU time of the daemon."),
  process_resident_memory_bytes: gauge("bytes", [], "Resident memory of the daemon."),
  process_start_time_seconds: gauge("seconds", [], "When the daemon was started, since the epoch."),
  process_open_fds: gauge("", [], "Descriptors that the daemon has open."),
  nodejs_heap_size_total_bytes: gauge("bytes", [], "V8's heap."),
  nodejs_heap_size_used_bytes: gauge("bytes", [], "What is used of it."),
  nodejs_external_memory_bytes: gauge("bytes", [], "Buffers outside of it."),
} as const satisfies Readonly<Record<string, Metric>>;

/** The table as its readers see it, whatever the metric. */
export const METRIC_TABLE: Readonly<Record<string, Metric>> = METRICS;

type Table = typeof METRICS;
export type MetricName = keyof Table;
type NamesOf<Type extends Metric["type"]> = {
  [Name in MetricName]: Table[Name]["type"] extends Type ? Name : never;
}[MetricName];
export type CounterName = NamesOf<"counter">;
export type GaugeName = NamesOf<"gauge">;
export type HistogramName = NamesOf<"histogram">;

/** A value for each label of a metric. */
export type LabelsOf<Name extends MetricName> = {
  readonly [Label in Table[Name]["labels"][number]]: string;
};

function counter<const Labels extends readonly string[]>(labels: Labels, help: string) {
  return { type: "counter", unit: "", labels, help } as const;
}

function gauge<const Unit extends Metric["unit"], const Labels extends readonly string[]>(
  unit: Unit,
  labels: Labels,
  help: string,
) {
  return { type: "gauge", unit, labels, help } as const;
}

function histogram<const Labels extends readonly string[]>(
  unit: "seconds",
  labels: Labels,
  buckets: readonly number[],
  help: string,
) {
  return { type: "histogram", unit, labels, help, buckets } as const;
}

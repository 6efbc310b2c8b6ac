/**
 * `blazar bundle`: all that a report of a bug needs of one sandbox, as a tar (POSIX ustar).
 *
 * Nothing secret goes in: what the daemon tells is redacted by itself, and of the configuration there are only keys of the schema.
 * Specs, environments and what containers print stay out. Whoever reads it begins with `manifest.json`.
 */
import { pack } from "tar-stream";
import { blazarError, reasonOf } from "../../contracts/errors.ts";
import type { LogName, SandboxDetail } from "../../contracts/inspection.ts";
import { withDeadline } from "../../lib/async.ts";
import type { Asked } from "../asked.ts";
import { plainScreen } from "../screen.ts";
import { timelinePage } from "../tables/timeline-page.ts";

/** Version of the layout below. */
const LAYOUT = 1;
const LOGS: readonly LogName[] = ["vmm", "console", "agent"];
const LOG_BYTES = 1024 * 1024;
/** A daemon that hangs must not keep the rest from being told. */
const PART_MS = 15_000;

/** What goes in beside what the daemon tells. */
export interface BundleExtras {
  readonly now: number;
  /** Name → version: of this program, its runtime, the host's kernel. */
  readonly versions: Readonly<Record<string, string>>;
  /** The daemon's configuration: keys of its schema only. Undefined: it is not known. */
  readonly config: unknown;
  /** What `blazar doctor` finds. */
  readonly findings: unknown;
}

/** The files of a bundle, by name. A part that cannot be had is told in the manifest, and the rest goes in. */
export async function bundleFiles(
  daemon: Pick<Asked, "get" | "node" | "charts" | "usage" | "logs">,
  id: string,
  { now, versions, config, findings }: BundleExtras,
): Promise<Map<string, Uint8Array>> {
  const detail = await daemon.get(id);
  const missing: Record<string, string> = {};
  const files = new Map<string, Uint8Array>();
  const part = async (name: string, make: () => unknown): Promise<void> => {
    try {
      files.set(name, contentOf(await inTime(make())));
    } catch (error) {
      missing[name] = reasonOf(error);
    }
  };
  await Promise.all([
    part("detail.json", () => detail),
    part("why.txt", () => `${detail.why}\n`),
    part("timeline.txt", () => timelineText(detail, now)),
    part("node.json", () => daemon.node()),
    part("charts.json", () => daemon.charts()),
    part("usage.json", () => (detail.summary.endedAt === undefined ? daemon.usage([id]) : [])),
    part("doctor.json", () => findings),
    ...(config === undefined ? [] : [part("config.json", () => config)]),
    ...LOGS.map((log) => part(`logs/${log}.log`, () => logBytes(daemon, id, log))),
  ]);
  const { pod } = detail.summary;
  const manifest = {
    layout: LAYOUT,
    madeAt: now,
    sandboxId: id,
    pod,
    versions,
    files: [...files.keys()].sort(),
    missing,
  };
  return new Map([["manifest.json", contentOf(manifest)], ...files]);
}

/** The tar's bytes. Each file is in a directory of the bundle's name. */
export async function tarOf(
  name: string,
  files: ReadonlyMap<string, Uint8Array>,
  now: number,
): Promise<Buffer> {
  const tar = pack();
  const mtime = new Date(now);
  for (const [file, content] of files)
    tar.entry({ name: `${name}/${file}`, mtime, mode: 0o600 }, Buffer.from(content));
  tar.finalize();
  const parts: Buffer[] = [];
  for await (const each of tar) parts.push(each as Buffer);
  return Buffer.concat(parts);
}

/** `blazar-shop-web-65e2e65bf841`: whatever a pod is called, it is a plain file name. */
export function bundleName({ summary }: Pick<SandboxDetail, "summary">): string {
  const plain = (text: string) => text.replaceAll(/[^A-Za-z0-9.-]+/g, "_").slice(0, 64);
  return `blazar-${plain(summary.pod.namespace)}-${plain(summary.pod.name)}-${plain(summary.id).slice(0, 12)}`;
}

function timelineText(detail: SandboxDetail, now: number): string {
  return timelinePage(detail, plainScreen(Number.POSITIVE_INFINITY, now));
}

function contentOf(value: unknown): Uint8Array {
  if (value instanceof Uint8Array) return value;
  return new TextEncoder().encode(
    typeof value === "string" ? value : `${JSON.stringify(value, undefined, 2)}\n`,
  );
}

function logBytes(daemon: Pick<Asked, "logs">, id: string, log: LogName): Promise<Uint8Array> {
  return new Promise((resolve, reject) => {
    const parts: Uint8Array[] = [];
    daemon.logs(id, log, { tailBytes: LOG_BYTES, follow: false }).subscribe({
      next: (bytes) => parts.push(bytes.slice()),
      error: reject,
      complete: () => resolve(Buffer.concat(parts)),
    });
  });
}

function inTime(work: unknown): Promise<unknown> {
  const late = () => blazarError("DeadlineExceeded", "make the bundle", `no answer within ${PART_MS} ms`);
  return withDeadline(Promise.resolve(work), PART_MS, late);
}

/**
 * The tables that `blazar template` and `blazar image` print for people. Pure.
 */
import type { LayerImage } from "../contracts/images.ts";
import type { BuildStep, Template } from "../contracts/templates.ts";

/** Digits of a key that are shown. They name the template if no other key begins with them. */
const SHOWN_DIGITS = 12;
const MEGABYTE = 2 ** 20;

/** A heading and one line a template; "" if there is none. */
export function templateTable(templates: readonly Template[], now: Date): string {
  if (templates.length === 0) return "";
  const rows = templates.map((each) => [
    each.key.slice(0, SHOWN_DIGITS),
    `${each.shape.memoryBytes / MEGABYTE}M`,
    `${each.shape.vcpus}`,
    `${each.shape.nics}`,
    `${(each.bytes / MEGABYTE).toFixed(1)}M`,
    `${age(each.createdAt, now)} ago`,
    `${age(each.lastUsedAt, now)} ago`,
  ]);
  return columns([["KEY", "MEMORY", "CPUS", "NICS", "ON DISK", "BUILT", "USED"], ...rows]);
}

/** A heading and one line an image; "" if there is none. */
export function imageTable(images: readonly LayerImage[], now: Date): string {
  if (images.length === 0) return "";
  const rows = images.map((each) => [
    each.key.slice(0, SHOWN_DIGITS),
    `${each.lower.length}`,
    `${(each.bytes / MEGABYTE).toFixed(1)}M`,
    `${each.holders.length}`,
    `${age(each.createdAt, now)} ago`,
    `${age(each.lastUsedAt, now)} ago`,
  ]);
  return columns([["KEY", "LAYERS", "ON DISK", "HELD BY", "MADE", "USED"], ...rows]);
}

/** The steps of a build on the host, then the steps of the guest's boot during it. */
export function stepTable(steps: readonly BuildStep[], guest: Readonly<Record<string, number>>): string {
  const total = steps.reduce((sum, { ms }) => sum + ms, 0);
  const host = [...steps.map(({ step, ms }) => [step, milliseconds(ms)]), ["in all", milliseconds(total)]];
  const boot = Object.entries(guest).sort(([, a], [, b]) => a - b);
  const inGuest = boot.map(([step, ms]) => [step, milliseconds(ms)]);
  const parts = [columns([["STEP", "TOOK"], ...host])];
  if (inGuest.length > 0) parts.push(columns([["IN THE GUEST", "SINCE ITS KERNEL'S START"], ...inGuest]));
  return parts.join("\n");
}

function columns(rows: readonly (readonly string[])[]): string {
  const widths = (rows[0] ?? []).map((_, index) => Math.max(...rows.map((row) => row[index]?.length ?? 0)));
  const line = (row: readonly string[]) =>
    row.map((cell, index) => cell.padEnd(widths[index] ?? 0)).join("  ");
  return rows.map((row) => `${line(row).trimEnd()}\n`).join("");
}

function milliseconds(ms: number): string {
  return `${Math.round(ms)} ms`;
}

function age(since: Date, now: Date): string {
  const seconds = Math.max(0, Math.round((now.getTime() - since.getTime()) / 1000));
  if (seconds < 120) return `${seconds} s`;
  if (seconds < 7200) return `${Math.round(seconds / 60)} min`;
  if (seconds < 172_800) return `${Math.round(seconds / 3600)} h`;
  return `${Math.round(seconds / 86_400)} days`;
}

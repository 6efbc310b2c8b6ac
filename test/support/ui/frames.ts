/** How long frames take in a page, by its own clock, while something is scrolled. */
import type { Page } from "playwright-core";

export interface Frames {
  readonly median: number;
  readonly p95: number;
  readonly longest: number;
  /** Pixels, there and back. */
  readonly scrolled: number;
  readonly text: string;
}

/** Pixels a frame. */
const STEP = 60;

/** @param scroller what is scrolled down and up again; absent: nothing */
export async function framesOf(page: Page, ms: number, scroller = ""): Promise<Frames> {
  // as text: the browser's own types are not those of Node
  const measured = await page.evaluate(`new Promise((resolve) => {
    const element = ${JSON.stringify(scroller)} && document.querySelector(${JSON.stringify(scroller)});
    const frames = [];
    let [before, began, direction, scrolled] = [0, performance.now(), 1, 0];
    const frame = (now) => {
      if (before > 0) frames.push(now - before);
      before = now;
      if (element) {
        const from = element.scrollTop;
        element.scrollTop += direction * ${STEP};
        scrolled += Math.abs(element.scrollTop - from);
        if (element.scrollTop === from) direction = -direction;
      }
      if (performance.now() - began < ${ms}) requestAnimationFrame(frame);
      else resolve({ frames, scrolled });
    };
    requestAnimationFrame(frame);
  })`);
  const { frames, scrolled } = measured as { frames: number[]; scrolled: number };
  const sorted = [...frames].sort((a, b) => a - b);
  const at = (share: number): number =>
    sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))] ?? 0;
  const [median, p95, longest] = [at(0.5), at(0.95), at(1)];
  const text = `${sorted.length} frames, median ${median.toFixed(1)} ms, p95 ${p95.toFixed(1)} ms, longest ${longest.toFixed(1)} ms`;
  return { median, p95, longest, scrolled, text };
}

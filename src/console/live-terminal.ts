/**
 * A terminal that a live page is drawn on: alternate screen, raw input, keys by name (ECMA-48, xterm's control sequences).
 *
 * `dispose` gives it back as it was; a process that ends by itself does so, too.
 */
import type { ReadStream, WriteStream } from "node:tty";
import { terminalSize } from "./screen.ts";

const ESC = "\u001b";
const ENTER = `${ESC}[?1049h${ESC}[?25l`;
const LEAVE = `${ESC}[?25h${ESC}[?1049l`;
const HOME = `${ESC}[H`;
const CLEAR_LINE = `${ESC}[K`;
const CLEAR_BELOW = `${ESC}[J`;

/** Names of keys that are no letters. */
const KEYS: Readonly<Record<string, string>> = {
  "\u0003": "ctrl-c",
  "\u001b": "escape",
  " ": "space",
  "\r": "enter",
  [`${ESC}[A`]: "up",
  [`${ESC}[B`]: "down",
  [`${ESC}[C`]: "right",
  [`${ESC}[D`]: "left",
  [`${ESC}[H`]: "home",
  [`${ESC}[F`]: "end",
  [`${ESC}[5~`]: "page-up",
  [`${ESC}[6~`]: "page-down",
};

export class LiveTerminal implements Disposable {
  private readonly leave = () => this[Symbol.dispose]();
  private left = false;

  constructor(
    private readonly input: ReadStream,
    private readonly output: WriteStream,
  ) {
    output.write(ENTER);
    if (input.isTTY) input.setRawMode(true);
    process.once("exit", this.leave);
  }

  /** Shows a page: as many of its lines as fit. */
  draw(text: string): void {
    const lines = text.replace(/\n$/, "").split("\n").slice(0, terminalSize(this.output).rows);
    this.output.write(HOME + lines.map((line) => line + CLEAR_LINE).join("\r\n") + CLEAR_BELOW);
  }

  [Symbol.dispose](): void {
    if (this.left) return;
    this.left = true;
    process.off("exit", this.leave);
    if (this.input.isTTY) this.input.setRawMode(false);
    this.input.pause();
    this.output.write(LEAVE);
  }
}

/** Tells keys by name; letters are their own names. Returns how to stop. */
export function keysOf(input: NodeJS.ReadStream, onKey: (key: string) => void): () => void {
  const listener = (data: Buffer) => {
    for (const key of keysIn(data.toString("utf8"))) onKey(key);
  };
  input.on("data", listener);
  input.resume();
  return () => {
    input.off("data", listener);
    input.pause();
  };
}

/** The keys of what a terminal has sent at once. */
export function keysIn(text: string): string[] {
  const found = text.match(/\p{Cc}\[[0-9;]*[A-Za-z~]|[\s\S]/gu) ?? [];
  return found.map((sequence) => KEYS[sequence] ?? sequence);
}

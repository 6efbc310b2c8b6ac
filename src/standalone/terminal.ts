/**
 * The terminal of a standalone run with `--tty` (termios(3), tty_ioctl(4)): raw input and the window's size.
 *
 * In raw mode the guest's line discipline does the work: Ctrl-C goes to the command as a byte, and is no signal here.
 * The caller must turn raw mode off again, or the operator's shell is left without echo.
 */
import type { ReadStream } from "node:tty";
import type { TaskService } from "../contracts/task.ts";

/** A window, in cells. */
export interface Terminal {
  readonly rows: number;
  readonly columns: number;
}

/** Turns raw mode on if the input is a terminal; returns how to turn it off. */
export function rawInput(stdin: ReadStream): () => void {
  if (!stdin.isTTY) return () => undefined;
  stdin.setRawMode(true);
  return () => stdin.setRawMode(false);
}

/** Tells the container each change of the window's size; returns how to stop. */
export function followWindowSize(
  started: Terminal,
  container: string,
  tasks: Pick<TaskService, "resizePty">,
): () => void {
  const { stdout } = process;
  if (!stdout.isTTY) return () => undefined;
  let told = started;
  const tell = () => {
    const { rows, columns } = stdout;
    if (rows === told.rows && columns === told.columns) return;
    told = { rows, columns };
    tasks.resizePty(container, "", columns, rows).catch(() => undefined);
  };
  stdout.on("resize", tell);
  // the size may have changed while the guest was booting
  tell();
  return () => stdout.off("resize", tell);
}

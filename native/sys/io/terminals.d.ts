/**
 * Pseudo terminals: ioctl_tty(2) (terminals.c).
 */

declare module "sys" {
  /** Unlocks the slave of an open ptmx: TIOCSPTLCK. */
  export function unlockPty(master: number): Result;
  /** Opens the slave of an open ptmx, whatever the mount namespace: TIOCGPTPEER, O_RDWR|O_NOCTTY|O_CLOEXEC. */
  export function openPtyPeer(master: number): Descriptor;
  /** The number n of /dev/pts/n: TIOCGPTN. */
  export function ptyNumber(master: number): Result;
  /** TIOCSWINSZ. */
  export function setWindowSize(fd: number, rows: number, columns: number): Result;
  /** TIOCGWINSZ: [rows, columns]. */
  export function getWindowSize(fd: number): [rows: number, columns: number] | Failure;
  /** TIOCSCTTY: makes `fd` the controlling terminal of the calling session leader. */
  export function setControllingTty(fd: number): Result;
  /** isatty(3). */
  export function isatty(fd: number): boolean;
}

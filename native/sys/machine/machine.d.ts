/**
 * The machine: host name, kernel modules, reboot(2), uname(2) (machine.c).
 */

declare module "sys" {
  /** sethostname(2). */
  export function sethostname(name: string): Result;
  /** setdomainname(2). */
  export function setdomainname(name: string): Result;
  /** reboot(2) after sync(2): `RB_POWER_OFF`, `RB_AUTOBOOT`, `RB_HALT_SYSTEM`. */
  export function reboot(command: number): Result;
  /** uname(2). */
  export function uname(): { release: string; machine: string; nodename: string };
  /** finit_module(2) of an open module file, `parameters` as on modprobe's command line. */
  export function finitModule(fd: number, parameters: string, flags: number): Result;
}

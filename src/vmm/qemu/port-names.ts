/**
 * What QEMU calls a virtio-serial port that is plugged in.
 *
 * The port and the connection behind it have the same name. The guest finds the port by the name that the daemon gave it.
 */
import { checkPortName } from "../common/spec.ts";

/** QEMU's id of the controller that all ports are on. */
export const PORT_CONTROLLER = "ports";

/** Throws InvalidArgument. */
export function portNames(name: string): { readonly device: string; readonly connection: string } {
  checkPortName(name);
  return { device: `port-${name}`, connection: `port-${name}` };
}

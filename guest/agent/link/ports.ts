/**
 * Virtio-serial ports by the name that the host has given them.
 */
import * as sys from "sys";

const PORTS = "/sys/class/virtio-ports";

/** The device of a port, or undefined while there is none of this name. */
export function findPort(name: string): string | undefined {
  const ports = sys.readdir(PORTS);
  if (typeof ports === "number") return undefined;
  const port = ports.find((each) => {
    const text = sys.readFile(`${PORTS}/${each}/name`, 256);
    return typeof text === "string" && text.trim() === name;
  });
  return port === undefined ? undefined : `/dev/${port}`;
}

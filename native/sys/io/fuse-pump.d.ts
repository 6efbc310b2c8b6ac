/**
 * The pump between the kernel's FUSE client and a file server (fuse-pump.c).
 */

declare module "sys" {
  /**
   * Carries requests from an open /dev/fuse to a blocking stream and replies back, in two threads, and ends this process
   * when the mount has gone or the stream has ended. Returns only if it cannot begin.
   */
  export function fusePump(device: number, stream: number): Failure;
}

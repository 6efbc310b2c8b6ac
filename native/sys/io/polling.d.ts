/**
 * Waiting for descriptors: epoll(7), poll(2), eventfd(2) (polling.c).
 */

declare module "sys" {
  /** epoll_create1(2). */
  export function epollCreate(): Descriptor;
  /** epoll_ctl(2); `data` (32 bits) comes back in `epollWait`. */
  export function epollCtl(
    epoll: number,
    operation: number,
    fd: number,
    events: number,
    data: number,
  ): Result;
  /**
   * epoll_wait(2): n events as pairs of int32 (data, events) in `buffer`; -1 waits for ever. An
   * interruption counts as 0 events. The buffer's size bounds the events of a pass (at most 256).
   */
  export function epollWait(epoll: number, timeoutMs: number, buffer: ArrayBuffer): Result;
  /** poll(2) of one descriptor: its revents, or 0 when the time is over. With fd -1 it only sleeps. */
  export function poll1(fd: number, events: number, timeoutMs: number): Result;
  /** eventfd(2), non-blocking. */
  export function eventfd(initial: number): Descriptor;
}

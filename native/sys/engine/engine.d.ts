/**
 * The engine: its main loop, its memory figures, and values as bytes (engine.c).
 */

declare module "sys" {
  /** The function that the main loop calls for ever, pending jobs run before each call; null ends the program with status 0. */
  export function setTick(tick: (() => void) | null): void;
  /** What the engine has allocated, in bytes, and its limit. */
  export function memoryUsage(): { allocated: number; used: number; objects: number; limit: number };
  /** Plain objects, arrays and primitives as bytes for {@link deserialize}, cheaper than JSON. Throws for cycles and functions. */
  export function serialize(value: unknown): ArrayBuffer;
  /** What {@link serialize} was given, in this process or a copy of it. For no other's bytes: they are not checked. */
  export function deserialize(buffer: ArrayBuffer, offset: number, length: number): unknown;
}

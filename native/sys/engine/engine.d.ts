/**
 * The engine: its main loop, its memory figures, and values as bytes (engine.c).
 */

declare module "sys" {
  /** Sets the function that the main loop calls again and again, after all pending jobs. Null ends the program with 0. */
  export function setTick(tick: (() => void) | null): void;
  /** How much the engine has allocated, in bytes, and its limit. */
  export function memoryUsage(): { allocated: number; used: number; objects: number; limit: number };
  /** Sets the engine's memory limit in bytes; by default it is 64 MB. */
  export function setMemoryLimit(bytes: number): void;
  /** Plain objects, arrays and primitives as bytes, cheaper than JSON. Throws for cycles and functions. */
  export function serialize(value: unknown): ArrayBuffer;
  /** The value that {@link serialize} was given, in this process or a clone of it. The bytes are not checked. */
  export function deserialize(buffer: ArrayBuffer, offset: number, length: number): unknown;
}

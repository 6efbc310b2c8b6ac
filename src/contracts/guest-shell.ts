/**
 * The port by which an operator runs a process in a guest itself, outside of all containers.
 *
 * The guest is hostile: whatever it sends is bytes, and their flow is bounded by what is consumed. A process ends with whoever has
 * asked for it.
 */

/** What to run. */
export interface ShellRequest {
  /** None = a shell. */
  readonly command: readonly string[];
  /** The size of its terminal in cells; absent: it has none, and stderr is apart. */
  readonly terminal?: { readonly rows: number; readonly columns: number };
}

/** Who is told what it does. None of it may throw. */
export interface ShellListener {
  /** Bytes of a view that the caller goes on to use: copy them. `consumed` lets as many more come. */
  output(stream: "stdout" | "stderr", bytes: Uint8Array, consumed: () => void): void;
  /** More input may be written. */
  room(): void;
  /** All output was told. The status is what a shell shows: 128 + N if signal N has ended it. */
  ended(status: number): void;
  /** It is lost; nothing more is told. */
  failed(error: unknown): void;
}

/** A process in the guest itself. */
export interface GuestShell {
  /** Takes a copy. False: no more should be written until {@link ShellListener.room}. */
  input(bytes: Uint8Array): boolean;
  endInput(): void;
  resize(rows: number, columns: number): void;
  /** Kills it, if it runs. Nothing more is told. */
  close(): void;
}

export interface GuestShells {
  /**
   * Resolves once it runs.
   * @throws BlazarError `SandboxNotFound`, `SandboxNotReady`, `GuestLost`, `CommandNotFound`, `ResourceExhausted`, …
   */
  openShell(sandboxId: string, request: ShellRequest, listener: ShellListener): Promise<GuestShell>;
}

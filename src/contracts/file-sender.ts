/**
 * How an open file gets into another process: a message of a unix socket that carries its descriptor (unix(7), SCM_RIGHTS).
 *
 * A VMM in its jail can open no path. Node cannot send descriptors, so a worker implements this port.
 */

/** What is opened: a file that exists (flags as in open(2), Linux's numbers), or a connection to a unix stream socket. */
export type SentFile =
  | { readonly kind: "file"; readonly path: string; readonly flags: number }
  | { readonly kind: "connection"; readonly path: string };

export interface FileMessage {
  /** The socket to send on, which belongs to this process. */
  readonly socket: {
    readonly fd: number;
    /** Its number in fstat(2): the number of a descriptor may have been given out again. */
    readonly inode: number;
  };
  readonly file: SentFile;
  /** What travels with the descriptor. */
  readonly text: string;
}

/**
 * Opens a file and sends it; resolves when all of the text is in the socket. Nobody else may write to the socket meanwhile.
 * Rejects with StorageFailed (it cannot be opened, nothing was sent) or LinkClosed.
 */
export type FileSender = (message: FileMessage) => Promise<unknown>;

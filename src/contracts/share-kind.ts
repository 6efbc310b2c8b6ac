/**
 * What a guest's shares are: directories of the host that it is served. Used by both sides.
 *
 * Each kind has a directory, a file server and a port of its own.
 */

/**
 * `layers`: read-only layers of containers that have no image. `volumes`: directories and files of the host that
 * containers use, and may write to unless they are mounted read-only.
 */
export type ShareKind = "layers" | "volumes";

/**
 * Names of volumes: of their directories in a share, and what a guest calls them.
 *
 * The name tells a file server which of them are read-only: what the kernel says of a directory is about the last mount there.
 */

const READONLY = "-ro";

export function volumeName(prefix: string, number: number, readonly: boolean): string {
  return `${prefix}${number}${readonly ? READONLY : ""}`;
}

export function isReadonlyVolume(name: string): boolean {
  return name.endsWith(READONLY);
}

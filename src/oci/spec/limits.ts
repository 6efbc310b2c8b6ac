/**
 * The guest's own limits, told by the field of the spec: the length of a request to the guest, and of its lists.
 *
 * A request over a limit would break the link to the guest instead of failing the call (protocol/guest/messages.ts,
 * protocol/wire/frame.ts). So it is refused here, where the field has a name.
 */
import { GUEST_MAX_REQUEST_BYTES } from "../../protocol/wire/frame.ts";
import { invalidSpec } from "./schema.ts";

/** What a translated spec may take: a request without its envelope, the caller's fields and a seccomp filter. */
const MOST_BYTES = GUEST_MAX_REQUEST_BYTES - 64 * 1024;

/** Throws InvalidSpec if a translation does not fit into a request. */
export function refuseLarge(request: object, field: string): void {
  const bytes = Buffer.byteLength(JSON.stringify(request));
  if (bytes > MOST_BYTES)
    throw invalidSpec(
      field,
      `it takes ${bytes} bytes, and a request to the guest takes ${MOST_BYTES} at most`,
    );
}

/** A copy of the list. Throws InvalidSpec if it is too long. */
export function atMost<Item>(items: readonly Item[], most: number, field: string): Item[] {
  if (items.length > most) throw invalidSpec(field, `${items.length} entries are more than ${most}`);
  return [...items];
}

/** Text that may come from a guest: cut, with nothing unseen in it, and turned around by nobody. */
import { harmless } from "../model/harmless.ts";

export function Guest({ text, most }: { readonly text: string; readonly most?: number }) {
  return <bdi>{harmless(text, most)}</bdi>;
}

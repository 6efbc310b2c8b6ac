/** Whether the page is as narrow as a phone. */
import { useSyncExternalStore } from "react";

/** As in styles/tokens.css. */
const NARROW = matchMedia("(max-width: 700px)");

export function useNarrow(): boolean {
  return useSyncExternalStore(subscribe, () => NARROW.matches);
}

function subscribe(listener: () => void): () => void {
  NARROW.addEventListener("change", listener);
  return () => NARROW.removeEventListener("change", listener);
}

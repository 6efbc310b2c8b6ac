/** Tells screen readers what has changed, politely. */
import { Store, useStore } from "../data/store.ts";

const said = new Store("");

export function announce(text: string): void {
  said.set(text);
}

export function Announcer() {
  const text = useStore(said);
  return (
    <p className="unseen" role="status" aria-live="polite">
      {text}
    </p>
  );
}

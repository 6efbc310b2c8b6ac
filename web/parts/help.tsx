/** The keys of the page. */
import { type RefObject, useEffect } from "react";
import { choose, settings } from "../data/settings.ts";
import { useStore } from "../data/store.ts";

interface KeyHelp {
  readonly keys: string;
  readonly does: string;
}

const GROUPS: readonly { readonly title: string; readonly keys: readonly KeyHelp[] }[] = [
  {
    title: "Everywhere",
    keys: [
      { keys: "?", does: "these keys" },
      { keys: "o", does: "open a journal or a bundle" },
      { keys: "d", does: "dark, light, or as the system" },
      { keys: "Esc", does: "let go of what is chosen; then back to all sandboxes" },
    ],
  },
  {
    title: "All sandboxes",
    keys: [
      { keys: "/", does: "filter" },
      { keys: "↑ ↓ PgUp PgDn Home End", does: "move in the list" },
      { keys: "Enter", does: "look at the sandbox" },
      { keys: "x", does: "mark it for a comparison" },
      { keys: "c", does: "compare the two that are marked" },
    ],
  },
  {
    title: "One sandbox",
    keys: [
      { keys: "[ ]", does: "one moment back or forward" },
      { keys: "{ }", does: "to the beginning, to the end" },
      { keys: "p", does: "play the history" },
      { keys: "l", does: "back to what is now" },
      { keys: "1 … 9", does: "another chart" },
      { keys: "Tab, then arrows", does: "states of the chart, entries of the timeline" },
    ],
  },
];

export function HelpDialog({ dialog }: { readonly dialog: RefObject<HTMLDialogElement | null> }) {
  const { keys } = useStore(settings);
  useEffect(() => {
    const element = dialog.current;
    const outside = (event: MouseEvent): void => {
      if (event.target === element) element?.close();
    };
    element?.addEventListener("click", outside);
    return () => element?.removeEventListener("click", outside);
  }, [dialog]);
  return (
    <dialog ref={dialog} className="dialog" aria-labelledby="help-title">
      <div className="dialog-body">
        <header className="card-head">
          <h2 id="help-title">Keys</h2>
          <button type="button" className="button" onClick={() => dialog.current?.close()}>
            Close
          </button>
        </header>
        {GROUPS.map((group) => (
          <section key={group.title}>
            <h3>{group.title}</h3>
            <dl className="keys">
              {group.keys.map((key) => (
                <div key={key.keys}>
                  <dt>
                    <kbd>{key.keys}</kbd>
                  </dt>
                  <dd>{key.does}</dd>
                </div>
              ))}
            </dl>
          </section>
        ))}
        <label className="check">
          <input
            type="checkbox"
            checked={keys}
            onChange={(event) => choose({ keys: event.target.checked })}
          />
          Single keys act
        </label>
      </div>
    </dialog>
  );
}

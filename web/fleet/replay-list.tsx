/** Sandboxes that were read from files. */
import type { Replay } from "../data/replays.ts";
import { addressOf } from "../data/route.ts";
import { clock, shortId } from "../model/words.ts";
import { PhaseBadge } from "../parts/badges.tsx";
import { Card } from "../parts/card.tsx";
import { Guest } from "../parts/text.tsx";
import { useMarks } from "./marks.ts";

export function ReplayList({ replays }: { readonly replays: readonly Replay[] }) {
  const marks = useMarks();
  return (
    <Card title="From files" className="replays">
      <ul>
        {replays.map(({ key, file, detail: { summary, history } }) => (
          <li key={key}>
            <input
              type="checkbox"
              checked={marks.ids.includes(key)}
              onChange={() => marks.toggle(key)}
              aria-label={`mark ${summary.pod.name} of ${file} for a comparison`}
            />
            <a href={addressOf({ page: "sandbox", id: key })}>
              <Guest
                text={
                  summary.pod.name === ""
                    ? shortId(summary.id)
                    : `${summary.pod.namespace}/${summary.pod.name}`
                }
                most={80}
              />
            </a>
            <PhaseBadge phase={summary.phase} />
            <span className="faint">
              {history.length} entries since {clock(summary.createdAt)} · <Guest text={file} most={60} />
            </span>
          </li>
        ))}
      </ul>
    </Card>
  );
}

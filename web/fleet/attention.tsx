/** What is stuck and what the host is short of: first of all, as an operator comes for it. */
import type { SandboxSummary } from "../../src/contracts/inspection.ts";
import { useNow } from "../data/clock.ts";
import { addressOf } from "../data/route.ts";
import { sorted } from "../model/fleet.ts";
import { duration } from "../model/words.ts";
import { Card } from "../parts/card.tsx";
import { Icon } from "../parts/icons.tsx";
import { Guest } from "../parts/text.tsx";

const MOST = 5;

export interface AttentionProps {
  readonly sandboxes: readonly SandboxSummary[];
  readonly shortages: readonly string[];
}

export function Attention({ sandboxes, shortages }: AttentionProps) {
  const stuck = sorted(
    sandboxes.filter((sandbox) => sandbox.stuck !== undefined),
    "attention",
    false,
  );
  if (stuck.length === 0 && shortages.length === 0) return null;
  const left = stuck.length - MOST;
  return (
    <Card title="Needs attention" className="attention">
      <ul>
        {stuck.slice(0, MOST).map((sandbox) => (
          <Stuck key={sandbox.id} sandbox={sandbox} />
        ))}
        {left > 0 && <li className="attention-more">and {left} more: filter the list by “stuck”</li>}
        {shortages.map((shortage) => (
          <li key={shortage} data-tone="ending">
            <Icon name="alert" />
            <span>
              <Guest text={shortage} />
            </span>
          </li>
        ))}
      </ul>
    </Card>
  );
}

function Stuck({ sandbox }: { readonly sandbox: SandboxSummary }) {
  const now = useNow(1_000);
  const { id, pod, state, since, stuck = "" } = sandbox;
  return (
    <li data-tone="stuck">
      <Icon name="alert" />
      <span>
        <a href={addressOf({ page: "sandbox", id })}>
          <Guest text={`${pod.namespace}/${pod.name}`} most={80} />
        </a>{" "}
        <code>{state}</code> for {duration(Math.max(0, now - since))}
        <span className="attention-why">
          <Guest text={stuck} />
        </span>
      </span>
    </li>
  );
}

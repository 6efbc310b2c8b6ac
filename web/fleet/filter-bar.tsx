/** Words and phases that the list is filtered by. */
import type { RefObject } from "react";
import { type FleetFilter, PHASES } from "../model/fleet.ts";
import { toneOf } from "../parts/badges.tsx";

export interface FilterBarProps {
  readonly filter: FleetFilter;
  readonly setFilter: (filter: FleetFilter) => void;
  readonly search: RefObject<HTMLInputElement | null>;
}

export function FilterBar({ filter, setFilter, search }: FilterBarProps) {
  const toggle = (phase: string): void => {
    const phases = new Set(filter.phases);
    if (!phases.delete(phase)) phases.add(phase);
    setFilter({ ...filter, phases });
  };
  return (
    <search className="filter">
      <input
        ref={search}
        type="search"
        placeholder="Filter by name, state, id  ( / )"
        aria-label="Filter by name, namespace, state, path or id"
        value={filter.text}
        onChange={(event) => setFilter({ ...filter, text: event.target.value })}
        onKeyDown={(event) => {
          if (event.key === "Escape") event.currentTarget.blur();
        }}
      />
      <fieldset className="toggles">
        <legend className="unseen">Only these</legend>
        <Toggle
          name="stuck"
          tone="stuck"
          isOn={filter.onlyStuck}
          toggle={() => setFilter({ ...filter, onlyStuck: !filter.onlyStuck })}
        />
        {PHASES.map((phase) => (
          <Toggle
            key={phase}
            name={phase}
            tone={toneOf(phase)}
            isOn={filter.phases.has(phase)}
            toggle={() => toggle(phase)}
          />
        ))}
      </fieldset>
    </search>
  );
}

interface ToggleProps {
  readonly name: string;
  readonly tone: string;
  readonly isOn: boolean;
  readonly toggle: () => void;
}

function Toggle({ name, tone, isOn, toggle }: ToggleProps) {
  return (
    <button type="button" className="toggle" data-tone={tone} aria-pressed={isOn} onClick={toggle}>
      <span className="dot" aria-hidden="true" />
      {name}
    </button>
  );
}

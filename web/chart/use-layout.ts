/** A chart's layout, when the worker has made it. */
import { useEffect, useState } from "react";
import type { Layout } from "../../src/charts/layout.ts";
import type { ChartDefinition } from "../../src/contracts/inspection.ts";
import { layoutOf } from "./elk.ts";

interface Laid {
  readonly definition: ChartDefinition;
  readonly layout?: Layout;
  readonly error?: string;
}

export function useLayout(definition: ChartDefinition): {
  layout?: Layout | undefined;
  error?: string | undefined;
} {
  const [laid, setLaid] = useState<Laid>();
  useEffect(() => {
    let isWanted = true;
    const set = (outcome: Omit<Laid, "definition">): void => {
      if (isWanted) setLaid({ definition, ...outcome });
    };
    layoutOf(definition, "DOWN").then(
      (layout) => set({ layout }),
      (error: unknown) => set({ error: error instanceof Error ? error.message : String(error) }),
    );
    return () => {
      isWanted = false;
    };
  }, [definition]);
  return laid?.definition === definition ? laid : {};
}

/**
 * The fake as commands see a daemon: every answer comes later.
 */
import type { Asked } from "../../../src/console/asked.ts";
import type { FakeInspection } from "./inspection.ts";

export function asked(inspection: FakeInspection): Asked {
  return {
    node: () => Promise.resolve(inspection.node()),
    list: () => Promise.resolve(inspection.list()),
    get: (id) => inspection.get(id),
    charts: () => Promise.resolve([...inspection.charts()]),
    usage: (ids) => inspection.usage(ids),
    watch: (filter) => inspection.watch(filter),
    logs: (id, log, options) => inspection.logs(id, log, options),
  };
}

/**
 * The list of sandboxes: filtered, sorted, and only as many rows in the document as can be seen (TanStack Virtual).
 *
 * A grid in the words of ARIA: one row is in the tab order, arrows move, and screen readers are told of all rows.
 */
import { useVirtualizer } from "@tanstack/react-virtual";
import {
  type KeyboardEvent,
  type RefObject,
  useDeferredValue,
  useEffect,
  useMemo,
  useRef,
  useState,
} from "react";
import type { SandboxSummary } from "../../src/contracts/inspection.ts";
import { go } from "../data/route.ts";
import { EVERYTHING, type FleetFilter, filtered, type SortKey, sorted } from "../model/fleet.ts";
import { Card, Nothing } from "../parts/card.tsx";
import { Icon } from "../parts/icons.tsx";
import { useKeys } from "../parts/keys.ts";
import { useNarrow } from "../parts/narrow.ts";
import { FilterBar } from "./filter-bar.tsx";
import { useMarks } from "./marks.ts";
import { SandboxRow } from "./sandbox-row.tsx";

const ROW = 40;
/** Two lines, on a phone. */
const TALL_ROW = 66;
const OVERSCAN = 8;
const PAGE = 10;

interface Column {
  readonly key: SortKey;
  readonly name: string;
  readonly number?: true;
}

const COLUMNS: readonly Column[] = [
  { key: "name", name: "Pod" },
  { key: "state", name: "State" },
  { key: "start", name: "Start", number: true },
  { key: "age", name: "Age", number: true },
];

export function SandboxList({ sandboxes }: { readonly sandboxes: readonly SandboxSummary[] }) {
  const [filter, setFilter] = useState<FleetFilter>(EVERYTHING);
  const [sort, setSort] = useState<{ readonly key: SortKey; readonly down: boolean }>({
    key: "attention",
    down: false,
  });
  const slow = useDeferredValue(filter);
  const rows = useMemo(() => sorted(filtered(sandboxes, slow), sort.key, sort.down), [sandboxes, slow, sort]);
  const marks = useMarks();
  const search = useRef<HTMLInputElement>(null);
  const compare = (): void => {
    const [first, second] = marks.ids;
    if (first !== undefined && second !== undefined) go({ page: "compare", first, second });
  };
  useKeys({ "/": () => search.current?.focus(), c: compare });
  const chooseSort = (key: SortKey): void =>
    setSort((before) =>
      before.key !== key
        ? { key, down: false }
        : before.down
          ? { key: "attention", down: false }
          : { key, down: true },
    );
  return (
    <Card
      title="Sandboxes"
      className="list"
      aside={
        <span className="list-aside">
          <output className="card-note">
            {rows.length === sandboxes.length ? rows.length : `${rows.length} of ${sandboxes.length}`}
          </output>
          <button type="button" className="button" disabled={marks.ids.length < 2} onClick={compare}>
            <Icon name="compare" />
            <span>{marks.ids.length < 2 ? `Compare (${marks.ids.length} of 2 marked)` : "Compare"}</span>
          </button>
        </span>
      }
    >
      <FilterBar filter={filter} setFilter={setFilter} search={search} />
      <div role="grid" aria-label="Sandboxes" aria-rowcount={rows.length + 1} className="grid">
        <div role="rowgroup">
          <div role="row" aria-rowindex={1} className="grid-head">
            <span role="columnheader" className="grid-mark">
              <span className="unseen">Marked</span>
            </span>
            {COLUMNS.map((column) => (
              <SortHeader key={column.key} column={column} sort={sort} choose={chooseSort} />
            ))}
          </div>
        </div>
        {rows.length === 0 && (
          <Nothing>{sandboxes.length === 0 ? "There are none." : "None matches."}</Nothing>
        )}
        <Rows rows={rows} marks={marks} />
      </div>
    </Card>
  );
}

interface SortHeaderProps {
  readonly column: Column;
  readonly sort: { readonly key: SortKey; readonly down: boolean };
  readonly choose: (key: SortKey) => void;
}

function SortHeader({ column, sort, choose }: SortHeaderProps) {
  const isChosen = sort.key === column.key;
  const order = isChosen ? (sort.down ? "descending" : "ascending") : "none";
  return (
    <span role="columnheader" aria-sort={order} className={column.number ? "number" : ""}>
      <button type="button" className="sort" onClick={() => choose(column.key)}>
        {column.name}
        <span aria-hidden="true">{isChosen ? (sort.down ? " ↓" : " ↑") : ""}</span>
      </button>
    </span>
  );
}

interface RowsProps {
  readonly rows: readonly SandboxSummary[];
  readonly marks: ReturnType<typeof useMarks>;
}

function Rows({ rows, marks }: RowsProps) {
  const [current, setCurrent] = useState<string>();
  const isNarrow = useNarrow();
  const scroller = useRef<HTMLDivElement>(null);
  const virtual = useVirtualizer({
    count: rows.length,
    getScrollElement: () => scroller.current,
    estimateSize: () => (isNarrow ? TALL_ROW : ROW),
    getItemKey: (index) => rows[index]?.id ?? index,
    overscan: OVERSCAN,
  });
  const wanted = useFocusWhenThere(scroller);
  const place = Math.max(
    0,
    rows.findIndex(({ id }) => id === current),
  );
  const moveTo = (next: number): void => {
    const target = rows[Math.min(rows.length - 1, Math.max(0, next))];
    if (target === undefined) return;
    setCurrent(target.id);
    virtual.scrollToIndex(rows.indexOf(target));
    wanted.current = target.id;
  };
  const pressed = (event: KeyboardEvent): void => {
    const sandbox = rows[place];
    const next = nextPlace(event.key, place, rows.length);
    if (next !== undefined) moveTo(next);
    else if (event.key === "Enter" && sandbox !== undefined) go({ page: "sandbox", id: sandbox.id });
    else if (event.key === "x" && sandbox !== undefined) marks.toggle(sandbox.id);
    else return;
    event.preventDefault();
  };
  return (
    <div role="rowgroup" className="grid-body" ref={scroller} onKeyDown={pressed} tabIndex={-1}>
      <div role="presentation" style={{ height: virtual.getTotalSize(), position: "relative" }}>
        {virtual.getVirtualItems().map((item) => {
          const sandbox = rows[item.index];
          return (
            sandbox && (
              <SandboxRow
                key={sandbox.id}
                sandbox={sandbox}
                index={item.index}
                top={item.start}
                height={item.size}
                isCurrent={item.index === place}
                isMarked={marks.ids.includes(sandbox.id)}
                toggle={marks.toggle}
                focused={setCurrent}
              />
            )
          );
        })}
      </div>
    </div>
  );
}

/** A row that was asked for may come into the document some frames later; then it gets the focus. */
function useFocusWhenThere(scroller: RefObject<HTMLElement | null>) {
  const wanted = useRef<string>(undefined);
  useEffect(() => {
    if (wanted.current === undefined) return;
    const row = scroller.current?.querySelector<HTMLElement>(`[data-id="${CSS.escape(wanted.current)}"]`);
    if (row === null || row === undefined) return;
    wanted.current = undefined;
    row.focus({ preventScroll: true });
  });
  return wanted;
}

function nextPlace(key: string, place: number, count: number): number | undefined {
  const places: Readonly<Record<string, number>> = {
    ArrowDown: place + 1,
    ArrowUp: place - 1,
    PageDown: place + PAGE,
    PageUp: place - PAGE,
    Home: 0,
    End: count - 1,
  };
  return places[key];
}

/**
 * A sandbox's logs on the host, as they grow: of the VMM, of the guest's console, of the agent. Of one that has failed the
 * daemon keeps the last words; any other one has taken its logs with it.
 */
import { useVirtualizer } from "@tanstack/react-virtual";
import { useEffect, useMemo, useRef, useState } from "react";
import type { LogName } from "../../src/contracts/inspection.ts";
import { openLog } from "../data/api.ts";
import { harmless, harmlessLine } from "../model/harmless.ts";
import { LogLines } from "../model/log-lines.ts";
import { Card, Nothing } from "../parts/card.tsx";
import { Tabs } from "../parts/tabs.tsx";

const LOGS: readonly { readonly key: LogName; readonly label: string }[] = [
  { key: "vmm", label: "VMM" },
  { key: "console", label: "Console" },
  { key: "agent", label: "Agent" },
];

const LINE = 18;

export interface LogsProps {
  readonly id: string;
  /** Whether it has ended without a failure. */
  readonly endedWell: boolean;
}

export function Logs({ id, endedWell }: LogsProps) {
  const [log, setLog] = useState<LogName>("console");
  const { lines, error, isOpen } = useLog(id, log, endedWell);
  return (
    <Card title="Logs" className="logs" aside={isOpen && <span className="card-note">follows</span>}>
      <Tabs label="Logs" tabs={LOGS} chosen={log} choose={(key) => setLog(key as LogName)}>
        {error !== undefined && <Nothing>{error}</Nothing>}
        {error === undefined && lines.length === 0 && <Nothing>There is nothing in it.</Nothing>}
        {lines.length > 0 && <Lines lines={lines} />}
      </Tabs>
    </Card>
  );
}

/** Those of a bundle. */
export function KeptLogs({ logs }: { readonly logs: Readonly<Record<string, string>> }) {
  const tabs = Object.keys(logs).map((key) => ({ key, label: harmless(key, 30) }));
  const [chosen, choose] = useState(tabs[0]?.key ?? "");
  const lines = useMemo(() => new LogLines().add(logs[chosen] ?? ""), [logs, chosen]);
  return (
    <Card title="Logs" className="logs">
      {tabs.length === 0 && <Nothing>A journal has no logs; a bundle has.</Nothing>}
      {tabs.length > 0 && (
        <Tabs label="Logs" tabs={tabs} chosen={chosen} choose={choose}>
          {lines.length === 0 ? <Nothing>There is nothing in it.</Nothing> : <Lines lines={lines} />}
        </Tabs>
      )}
    </Card>
  );
}

function Lines({ lines }: { readonly lines: readonly string[] }) {
  const scroller = useRef<HTMLDivElement>(null);
  const atEnd = useRef(true);
  const virtual = useVirtualizer({
    count: lines.length,
    getScrollElement: () => scroller.current,
    estimateSize: () => LINE,
    overscan: 20,
  });
  // whoever reads further up is left in peace
  useEffect(() => {
    if (atEnd.current) virtual.scrollToIndex(lines.length - 1);
  }, [lines, virtual]);
  return (
    <div
      className="log"
      ref={scroller}
      tabIndex={0}
      role="log"
      aria-label="Lines of the log"
      aria-live="off"
      onScroll={({ currentTarget: { scrollTop, clientHeight, scrollHeight } }) => {
        atEnd.current = scrollTop + clientHeight >= scrollHeight - LINE;
      }}
    >
      <div style={{ height: virtual.getTotalSize(), position: "relative" }}>
        {virtual.getVirtualItems().map(({ index, start }) => (
          <div key={index} className="log-line" style={{ transform: `translateY(${start}px)` }}>
            <bdi>{harmlessLine(lines[index] ?? "")}</bdi>
          </div>
        ))}
      </div>
    </div>
  );
}

interface ShownLog {
  readonly lines: readonly string[];
  readonly error?: string | undefined;
  readonly isOpen: boolean;
}

const NO_LOG: ShownLog = { lines: [], isOpen: true };
const GONE: ShownLog = {
  lines: [],
  isOpen: false,
  error: "The sandbox has ended, and its logs with it. They are kept of those that have failed.",
};

/** What was read before the sandbox's end stays on the page. */
function useLog(id: string, log: LogName, endedWell: boolean): ShownLog {
  const [shown, setShown] = useState<ShownLog>(NO_LOG);
  const isGone = useRef(endedWell);
  isGone.current = endedWell;
  useEffect(() => {
    if (isGone.current) return setShown(GONE);
    const controller = new AbortController();
    setShown(NO_LOG);
    read(id, log, controller.signal, (lines) => setShown({ lines, isOpen: true })).then(
      () => setShown((before) => ({ ...before, isOpen: false })),
      (error: unknown) => {
        const reason = error instanceof Error ? error.message : String(error);
        if (!controller.signal.aborted) setShown((before) => ({ ...before, error: reason, isOpen: false }));
      },
    );
    return () => controller.abort();
  }, [id, log]);
  return shown;
}

async function read(
  id: string,
  log: LogName,
  signal: AbortSignal,
  show: (lines: readonly string[]) => void,
): Promise<void> {
  const { body } = await openLog(id, log, signal);
  if (body === null) return;
  const lines = new LogLines();
  const reader = body.pipeThrough(new TextDecoderStream()).getReader();
  for (;;) {
    const { done, value } = await reader.read();
    if (done) return;
    show(lines.add(value));
  }
}

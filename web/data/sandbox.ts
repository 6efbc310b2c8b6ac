/**
 * All about one sandbox: asked for once, then kept up to date by its entries, and asked for again a little later.
 *
 * An entry shows at once what a chart does. What else has changed (resources, deadlines, why) comes with the next answer. An
 * answer may be older than entries that came meanwhile: these are put on top of it.
 */
import { type QueryClient, useQuery, useQueryClient } from "@tanstack/react-query";
import { useEffect } from "react";
import type { HistoryEntry, SandboxDetail } from "../../src/contracts/inspection.ts";
import { withEntry } from "../model/entries.ts";
import { askDetail } from "./api.ts";
import { live } from "./live.ts";
import { isReplay, replays } from "./replays.ts";
import { useStore } from "./store.ts";

/** So long changes are collected before the sandbox is asked for again. */
const ASK_AGAIN_MS = 300;
/** Entries that are remembered for an answer that is under way. */
const RECENT = 256;

export interface ShownSandbox {
  readonly detail?: SandboxDetail | undefined;
  readonly error?: string | undefined;
  /** It comes from a file, so its time stands still. */
  readonly replayed: boolean;
  /** Of a file, by name. */
  readonly logs?: Readonly<Record<string, string>> | undefined;
}

const recent = new Map<string, { readonly entry: HistoryEntry; readonly came: number }[]>();

export function useSandbox(id: string): ShownSandbox {
  const fromFile = isReplay(id);
  const files = useStore(replays);
  const queries = useQueryClient();
  const { data, error } = useQuery({
    queryKey: ["sandbox", id],
    queryFn: ({ signal }) => detailOf(id, signal),
    enabled: !fromFile,
  });
  useEffect(() => (fromFile ? undefined : follow(id, queries)), [id, fromFile, queries]);
  if (!fromFile) return { detail: data, error: error?.message, replayed: false };
  const replay = files.find(({ key }) => key === id);
  const lost = "This page was loaded anew since the file was opened: open it again.";
  return {
    detail: replay?.detail,
    error: replay === undefined ? lost : undefined,
    replayed: true,
    logs: replay?.logs,
  };
}

async function detailOf(id: string, signal: AbortSignal): Promise<SandboxDetail> {
  const asked = performance.now();
  const detail = await askDetail(id, signal);
  const since = (recent.get(id) ?? []).filter(({ came }) => came >= asked);
  return since.reduce((all, { entry }) => withEntry(all, entry), detail);
}

function follow(id: string, queries: QueryClient): () => void {
  let timer: ReturnType<typeof setTimeout> | undefined;
  const changed = (): void => {
    timer ??= setTimeout(() => {
      timer = undefined;
      void queries.invalidateQueries({ queryKey: ["sandbox", id] });
    }, ASK_AGAIN_MS);
  };
  const entry = (told: HistoryEntry): void => {
    recent.set(id, [...(recent.get(id) ?? []), { entry: told, came: performance.now() }].slice(-RECENT));
    queries.setQueryData<SandboxDetail>(["sandbox", id], (before) => before && withEntry(before, told));
    changed();
  };
  const leave = live.follow(id, { entry, changed });
  return () => {
    leave();
    clearTimeout(timer);
    recent.delete(id);
  };
}

/** The page as a whole: what is above every view, and the view of the route. */
import { useQuery } from "@tanstack/react-query";
import { useEffect, useRef } from "react";
import type { ChartDefinition } from "../src/contracts/inspection.ts";
import { ComparePage } from "./compare/compare-page.tsx";
import { askHello, NO_ANSWER, Refusal } from "./data/api.ts";
import { live } from "./data/live.ts";
import { knownCharts } from "./data/replays.ts";
import { go, type Route, useRoute } from "./data/route.ts";
import { nextTheme } from "./data/settings.ts";
import { FleetPage } from "./fleet/fleet-page.tsx";
import { Announcer } from "./parts/announcer.tsx";
import { HelpDialog } from "./parts/help.tsx";
import { useKeys } from "./parts/keys.ts";
import { TopBar } from "./parts/top-bar.tsx";
import { DropTarget } from "./replay/drop-target.tsx";
import { chooseFile } from "./replay/open-file.ts";
import { SandboxPage } from "./sandbox/sandbox-page.tsx";

export function App() {
  const hello = useQuery({ queryKey: ["hello"], queryFn: askHello, retry: retries, staleTime: Infinity });
  const help = useRef<HTMLDialogElement>(null);
  const route = useRoute();
  const isLive = hello.data?.mode === "live";
  useEffect(() => {
    if (isLive) live.start();
  }, [isLive]);
  useEffect(() => {
    if (hello.data !== undefined) knownCharts.set(hello.data.charts);
  }, [hello.data]);
  useKeys({
    "?": () => help.current?.showModal(),
    o: chooseFile,
    d: nextTheme,
    Escape: () => route.page !== "fleet" && go({ page: "fleet" }),
  });
  return (
    <>
      <a className="skip" href="#main" onClick={(event) => toMain(event)}>
        To the content
      </a>
      <TopBar mode={hello.data?.mode} route={route} help={() => help.current?.showModal()} />
      <main id="main" tabIndex={-1}>
        {hello.error !== null && hello.data === undefined && <NoHello error={hello.error} />}
        {hello.data !== undefined && <View route={route} charts={hello.data.charts} isLive={isLive} />}
      </main>
      <HelpDialog dialog={help} />
      <DropTarget />
      <Announcer />
    </>
  );
}

interface ViewProps {
  readonly route: Route;
  readonly charts: readonly ChartDefinition[];
  readonly isLive: boolean;
}

function View({ route, charts, isLive }: ViewProps) {
  if (route.page === "sandbox") return <SandboxPage key={route.id} id={route.id} charts={charts} />;
  if (route.page === "compare") return <ComparePage first={route.first} second={route.second} />;
  return <FleetPage isLive={isLive} />;
}

/** The daemon may be starting. A wrong token stays wrong. */
function retries(_count: number, error: Error): boolean {
  return !(error instanceof Refusal) || error.status !== 401;
}

function NoHello({ error }: { readonly error: Error }) {
  const isToken = error instanceof Refusal && error.status === 401;
  const isGone = error instanceof Refusal && error.status === NO_ANSWER;
  return (
    <div className="notice" role="alert">
      <h1>
        {isToken ? "This tab has no token" : isGone ? "blazar ui has ended" : "The daemon does not answer"}
      </h1>
      <p>
        {isToken
          ? "Open the address that blazar ui has printed. It holds the token; this tab forgets it when it is closed."
          : error.message}
      </p>
    </div>
  );
}

/** A fragment is the page's route, so the link must not change it. */
function toMain(event: { preventDefault(): void }): void {
  event.preventDefault();
  document.getElementById("main")?.focus();
}

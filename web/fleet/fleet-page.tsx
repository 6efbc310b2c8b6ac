/** All sandboxes: how many are how far, what is stuck, where starts spend their time, and the list. */
import { useQuery } from "@tanstack/react-query";
import { useEffect } from "react";
import { askNode } from "../data/api.ts";
import { setDaemonTime } from "../data/clock.ts";
import { live } from "../data/live.ts";
import { replays } from "../data/replays.ts";
import { useStore } from "../data/store.ts";
import { counted } from "../model/words.ts";
import { announce } from "../parts/announcer.tsx";
import { Attention } from "./attention.tsx";
import { Figures } from "./figures.tsx";
import { ReplayList } from "./replay-list.tsx";
import { SandboxList } from "./sandbox-list.tsx";
import { Steps } from "./steps.tsx";

const ASK_MS = 2_000;

export function FleetPage({ isLive }: { readonly isLive: boolean }) {
  const files = useStore(replays);
  return (
    <div className="fleet">
      <h1 className="unseen">All sandboxes</h1>
      {isLive ? <LiveFleet /> : files.length === 0 && <Welcome />}
      {files.length > 0 && <ReplayList replays={files} />}
    </div>
  );
}

function LiveFleet() {
  const sandboxes = useStore(live.sandboxes);
  const { data: node } = useQuery({
    queryKey: ["node"],
    queryFn: ({ signal }) => askNode(signal),
    refetchInterval: ASK_MS,
  });
  useEffect(() => {
    if (node !== undefined) setDaemonTime(node.now);
  }, [node]);
  const stuck = sandboxes.filter((sandbox) => sandbox.stuck !== undefined).length;
  useEffect(() => {
    if (stuck > 0) announce(`${counted(stuck, "sandbox").replace("xs", "xes")} stuck`);
  }, [stuck]);
  return (
    <>
      <Figures node={node} sandboxes={sandboxes} />
      <Attention sandboxes={sandboxes} shortages={[...(node?.troubles ?? []), ...(node?.shortages ?? [])]} />
      <div className="fleet-columns">
        <SandboxList sandboxes={sandboxes} />
        <Steps steps={node?.steps ?? []} />
      </div>
    </>
  );
}

function Welcome() {
  return (
    <div className="notice">
      <h1>Drop a journal or a bundle here</h1>
      <p>
        The page runs without a daemon. A sandbox's journal, or the tar file that <code>blazar bundle</code>{" "}
        makes, is read in this browser and goes nowhere else.
      </p>
    </div>
  );
}

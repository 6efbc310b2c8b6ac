/** What is above every view: where one is, whether the daemon answers, and what can always be done. */

import { live } from "../data/live.ts";
import { addressOf, type Route } from "../data/route.ts";
import { nextTheme, settings, type Theme } from "../data/settings.ts";
import { useStore } from "../data/store.ts";
import type { Connection } from "../data/stream.ts";
import { chooseFile } from "../replay/open-file.ts";
import { Icon, type IconName } from "./icons.tsx";

export interface TopBarProps {
  readonly mode: "live" | "offline" | undefined;
  readonly route: Route;
  readonly help: () => void;
}

const THEMES: Readonly<Record<Theme, readonly [IconName, string]>> = {
  system: ["system", "Colours as the system"],
  light: ["sun", "Light colours"],
  dark: ["moon", "Dark colours"],
};

export function TopBar({ mode, route, help }: TopBarProps) {
  const { theme } = useStore(settings);
  const [themeIcon, themeName] = THEMES[theme];
  return (
    <header className="top">
      <a
        className="brand"
        href={addressOf({ page: "fleet" })}
        aria-current={route.page === "fleet" ? "page" : undefined}
      >
        <svg viewBox="0 0 32 32" aria-hidden="true" focusable="false">
          <path d="M16 2 19.2 12.8 30 16 19.2 19.2 16 30 12.8 19.2 2 16 12.8 12.8Z" />
        </svg>
        Blazar
      </a>
      {mode !== undefined && <ConnectionChip mode={mode} />}
      <span className="top-space" />
      <button type="button" className="button" aria-label="Open a file" onClick={chooseFile}>
        <Icon name="file" />
        <span>Open a file</span>
      </button>
      <button
        type="button"
        className="button quiet"
        onClick={nextTheme}
        aria-label={themeName}
        title={themeName}
      >
        <Icon name={themeIcon} />
      </button>
      <button type="button" className="button quiet" onClick={help} aria-label="Keys" title="Keys (?)">
        <Icon name="help" />
      </button>
    </header>
  );
}

const WORDS: Readonly<Record<Connection["state"], string>> = {
  connecting: "Connecting",
  live: "Live",
  paused: "Paused",
  lost: "Not connected",
};

function ConnectionChip({ mode }: { readonly mode: "live" | "offline" }) {
  const connection = useStore(live.connection);
  if (mode === "offline") return <span className="chip">Without a daemon</span>;
  const reason = connection.state === "lost" ? connection.reason : undefined;
  return (
    <span className="chip" data-connection={connection.state} role="status" title={reason}>
      <span className="dot" aria-hidden="true" />
      {WORDS[connection.state]}
      {reason !== undefined && <span className="chip-reason">{reason}</span>}
    </span>
  );
}

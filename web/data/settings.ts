/** What a reader has chosen; kept in this browser. */
import { Store } from "./store.ts";

export type Theme = "system" | "light" | "dark";

export interface Settings {
  readonly theme: Theme;
  /** Single keys act; off for people whose speech input types them. */
  readonly keys: boolean;
}

const KEY = "blazar-settings";
const DEFAULTS: Settings = { theme: "system", keys: true };

export const settings = new Store<Settings>(read());

export function choose(chosen: Partial<Settings>): void {
  const all = { ...settings.get(), ...chosen };
  settings.set(all);
  localStorage.setItem(KEY, JSON.stringify(all));
  show();
}

/** Puts the theme on the document. */
export function show(): void {
  const { theme } = settings.get();
  if (theme === "system") delete document.documentElement.dataset["theme"];
  else document.documentElement.dataset["theme"] = theme;
}

function read(): Settings {
  try {
    const kept = JSON.parse(localStorage.getItem(KEY) ?? "{}") as Partial<Settings>;
    const theme = kept.theme === "light" || kept.theme === "dark" ? kept.theme : DEFAULTS.theme;
    return { theme, keys: kept.keys !== false };
  } catch {
    return DEFAULTS;
  }
}

const ORDER: readonly Theme[] = ["system", "light", "dark"];

export function nextTheme(): void {
  const place = ORDER.indexOf(settings.get().theme);
  choose({ theme: ORDER[(place + 1) % ORDER.length] ?? "system" });
}

/** Where the page is: in the address's fragment, so that the browser's back and forward work. */
import { Store, useStore } from "./store.ts";

export type Route =
  | { readonly page: "fleet" }
  | { readonly page: "sandbox"; readonly id: string }
  | { readonly page: "compare"; readonly first: string; readonly second: string };

const FLEET: Route = { page: "fleet" };

const route = new Store<Route>(FLEET);

export function startRouting(): void {
  const read = (): void => route.set(parsed(location.hash));
  addEventListener("hashchange", read);
  read();
}

export function useRoute(): Route {
  return useStore(route);
}

export function go(to: Route): void {
  location.hash = addressOf(to);
}

export function addressOf(to: Route): string {
  if (to.page === "sandbox") return `#/sandbox/${encodeURIComponent(to.id)}`;
  if (to.page === "fleet") return "#/";
  return `#/compare/${encodeURIComponent(to.first)}/${encodeURIComponent(to.second)}`;
}

function parsed(hash: string): Route {
  const [page, first = "", second = ""] = hash.replace(/^#\//, "").split("/").map(decoded);
  if (page === "sandbox" && first !== "") return { page, id: first };
  if (page === "compare" && first !== "" && second !== "") return { page, first, second };
  return FLEET;
}

function decoded(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    return "";
  }
}

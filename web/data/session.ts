/**
 * The token: out of the address as soon as the page is there, into the header of each request.
 *
 * It is kept for this tab only (sessionStorage), so that a reload works. It is never sent to another port, as a cookie would be.
 */
const KEY = "blazar-token";

/** Takes the token out of the address, history included. */
export function takeToken(): void {
  const token = new URLSearchParams(location.hash.slice(1)).get("token");
  if (token === null) return;
  sessionStorage.setItem(KEY, token);
  history.replaceState(null, "", `${location.pathname}#/`);
}

export function authorization(): Record<string, string> {
  return { authorization: `Bearer ${sessionStorage.getItem(KEY) ?? ""}` };
}

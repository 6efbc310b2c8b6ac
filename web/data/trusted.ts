/**
 * The page's one Trusted Types policy (W3C): it vouches for the address of the layout's worker, and for nothing else.
 *
 * The page's Content Security Policy allows no other policy, so nobody can make markup or scripts out of text.
 */

/** What browsers with Trusted Types have; TypeScript does not know it yet. */
interface TrustedTypes {
  createPolicy(
    name: string,
    rules: { createScriptURL(url: string): string },
  ): { createScriptURL(url: string): unknown };
}

const types = (globalThis as { readonly trustedTypes?: TrustedTypes }).trustedTypes;

const policy = types?.createPolicy("blazar", {
  createScriptURL: (url) => {
    if (!/^\/[\w-]+\.js$/.test(url)) throw new TypeError(`${url} is no script of this page`);
    return url;
  },
});

/** The type of the standard's library is that without Trusted Types. */
export function trustedWorkerUrl(url: string): string {
  return (policy?.createScriptURL(url) ?? url) as string;
}

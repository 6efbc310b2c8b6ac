/**
 * Parts of texts that are kept, as strings of their own.
 *
 * V8 makes a slice of a string a view of the whole, and a sum of strings a pair of them. Whoever keeps sixty characters of a
 * guest's message would keep the message, and so a guest could fill the daemon. Pure; runs on both engines.
 */

/** The text, or its first `most` characters without the rest. */
export function cutText(text: string, most: number): string {
  return text.length <= most ? text : ownText(text.slice(0, most));
}

/** The same text, which keeps nothing else. */
export function ownText(text: string): string {
  return JSON.parse(JSON.stringify(text)) as string;
}
